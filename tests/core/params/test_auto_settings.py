"""Settings that say auto: they are known, filled in, and missed where stage choose has not run."""

from pathlib import Path

import pytest

from graft.core.errors import GraftError
from graft.core.params.load_params import parse_text
from graft.core.params.strategy_params import FineTuneParams, ScratchParams

SHIPPED = (Path(__file__).resolve().parents[3] / "params.yaml").read_text(encoding="utf-8")


def test_the_shipped_settings_leave_to_measurement_what_depends_on_the_images() -> None:
    train = parse_text(SHIPPED).train
    left_open = {name: train.strategy(name).to_choose for name in train.run}  # type: ignore[union-attr]
    assert left_open["frozen"] == ["image_size", "members"]
    assert left_open["fine_tune"] == [
        "augment",
        "backbone",
        "epochs",
        "image_size",
        "learning_rate",
        "unfreeze",
        "views",
    ]


def test_what_was_chosen_takes_the_place_of_auto_and_nothing_else() -> None:
    strategy = FineTuneParams(kind="fine_tune", unfreeze="auto", epochs="auto", learning_rate=0.001, image_size=96)
    assert strategy.to_choose == ["epochs", "unfreeze"]
    filled = strategy.filled_in({"epochs": 7, "unfreeze": 0.4, "image_size": 224}, "fine_tune")
    assert (filled.epochs, filled.unfreeze, filled.image_size, filled.to_choose) == (7, 0.4, 96, [])


def test_what_was_not_chosen_names_the_setting_and_the_stage() -> None:
    strategy = ScratchParams(kind="scratch", epochs=3, learning_rate=0.001, augment="auto")
    with pytest.raises(GraftError, match="'mine' has augment: auto") as caught:
        strategy.filled_in({}, "mine")
    assert "dvc repro choose" in caught.value.fix


def test_a_value_that_was_chosen_is_checked_like_one_that_a_person_writes() -> None:
    strategy = FineTuneParams(kind="fine_tune", unfreeze="all", epochs="auto", learning_rate=0.001)
    with pytest.raises(ValueError, match="epochs"):
        strategy.filled_in({"epochs": 0}, "fine_tune")


def test_a_setting_that_is_never_measured_cannot_be_auto() -> None:
    text = SHIPPED.replace("batch_size: 32 ", "batch_size: auto ", 1)
    with pytest.raises(GraftError, match="batch_size' is 'auto'"):
        parse_text(text)
