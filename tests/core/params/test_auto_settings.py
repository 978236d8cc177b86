"""Settings that say auto: they are known, filled in, and missed where stage choose has not run."""

from pathlib import Path

import pytest

from graft.core.errors import GraftError
from graft.core.params.load_params import parse_text
from graft.core.params.strategy_params import FineTuneParams, ScratchParams
from graft.core.params.sweep_params import SweepParams

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


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("epochs: 30", "solver: sgd"),
        ("head: {dropout: 0.3}", "solver: sgd"),
        ("flip: horizontal", "flip"),
        ("head: {pooling: max}", "head.pooling"),
        ("image_size: 96", "image_size"),
        ("backbone: {source: keras, name: ResNet50}", "backbone"),
    ],
)
def test_settings_that_members_would_not_be_given_are_refused(setting: str, named: str) -> None:
    """They had no effect, and nothing said so."""
    text = SHIPPED.replace("      members: auto ", f"      {setting}\n      members: auto ", 1)
    with pytest.raises(GraftError, match=rf"strategies.frozen.{named} has no effect beside members.*members: \[\]"):
        parse_text(text)
    assert parse_text(text.replace("members: auto", "members: []", 1)).train is not None


def test_a_sweep_of_settings_that_members_would_not_be_given_is_refused() -> None:
    sweep = SweepParams.model_validate({"try": {"frozen": {"learning_rate": [0.001, 0.01]}}})
    with pytest.raises(
        ValueError, match=r"sweep.try.frozen.learning_rate tries 0.001: .* has no effect beside members"
    ):
        sweep.check_against(parse_text(SHIPPED).train)


def test_a_network_that_is_not_measured_is_refused_where_the_measured_ones_would_stand_in_its_place() -> None:
    """The module was named for all strategies, and none of them used it."""
    text = SHIPPED.replace("source: keras ", "source: hub ", 1).replace("name: MobileNetV2 ", "name: /module ", 1)
    text = text.replace("    weights: imagenet ", "    # weights: imagenet ", 1)
    with pytest.raises(GraftError, match=r"Hub module.*strategies.frozen would not use it: its members is auto"):
        parse_text(text)


def test_a_setting_that_is_never_measured_cannot_be_auto() -> None:
    text = SHIPPED.replace("batch_size: 32 ", "batch_size: auto ", 1)
    with pytest.raises(GraftError, match="batch_size' is 'auto'"):
        parse_text(text)
