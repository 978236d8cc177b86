"""Measuring within a time: what is tried, what is left out and why, and what that fills in for each strategy."""

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import needs_browser, require_good

from graft.analysis.choose import choose as module
from graft.analysis.choose.choose import Choice, MeasuredImages, choose, tried_table
from graft.analysis.choose.fill_in import is_promising, settings_for
from graft.analysis.choose.measure import Measured
from graft.analysis.choose.plan import Candidate
from graft.analysis.choose.write_choice import PAGE_FILE, TRIED_FILE, record, write_choice
from graft.core.errors import GraftError
from graft.core.params.backbone_params import KerasBackboneParams
from graft.core.params.choose_params import ChooseParams
from graft.core.params.strategy_params import FineTuneParams, FrozenParams, ScratchParams

USUAL = KerasBackboneParams(source="keras", name="MobileNetV2")
COUNT = 200
LABELS = np.arange(COUNT) % 2
Accuracy = Callable[[Candidate], float]


def result(candidate: Candidate, share: float) -> Measured:
    """The probability of the right class of each image, the same images being hard for all candidates."""
    right = np.where(np.random.default_rng(5).uniform(size=COUNT) < share, 0.95, 0.2)
    probabilities = np.empty((COUNT, 2))
    probabilities[np.arange(COUNT), LABELS] = right
    probabilities[np.arange(COUNT), 1 - LABELS] = 1 - right
    return Measured(candidate, probabilities, -np.log(right), right > 0.5, 0.1, 1.0)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Choice]:
    for name in ("plan", "fill_in"):
        monkeypatch.setattr(f"graft.analysis.choose.{name}.cores", lambda: 2)

    def start(accuracy: Accuracy, images: int = COUNT, **params: Any) -> Choice:
        def measure(candidate: Candidate, *arguments: Any) -> list[Measured]:
            return [result(one, accuracy(one)) for one in (candidate, candidate.with_all_depths)]

        monkeypatch.setattr(module, "measure", measure)
        sample = MeasuredImages(lambda size: [], LABELS, ["a", "b"], np.arange(COUNT), 500.0, images)  # type: ignore[arg-type, return-value]
        return choose(ChooseParams(**params), USUAL, sample, tmp_path, None)

    return start


def fine_tune() -> FineTuneParams:
    given = dict.fromkeys(("backbone", "unfreeze", "views", "epochs", "learning_rate", "augment", "image_size"), "auto")
    return FineTuneParams.model_validate({"kind": "fine_tune", **given})


def test_time_that_is_given_bounds_what_is_measured_and_what_was_left_out_is_said(run: Callable[..., Choice]) -> None:
    short, long = run(lambda one: 0.8, minutes=0.3), run(lambda one: 0.8, minutes=30.0)
    assert 0 < len(short.measured) < len(long.measured)
    assert all("are left" in reason for _, reason in short.skipped)
    table = tried_table(short)
    assert list(table["left_out"])[-len(short.skipped) :] == [reason for _, reason in short.skipped]


def test_more_images_are_given_more_time(run: Callable[..., Choice]) -> None:
    assert run(lambda one: 0.8, images=6000).minutes == 2 * run(lambda one: 0.8, images=3000).minutes
    assert run(lambda one: 0.8, images=50).minutes == run(lambda one: 0.8, images=3000).minutes


def test_a_backbone_whose_weights_cannot_be_had_is_left_out(
    run: Callable[..., Choice], monkeypatch: pytest.MonkeyPatch
) -> None:
    def accuracy(one: Candidate) -> float:
        if one.backbone.name != "MobileNetV2":
            raise GraftError("No road to the weights", "Go online")
        return 0.8

    found = run(accuracy, minutes=30.0)
    assert {one.candidate.backbone.name for one in found.measured} == {"MobileNetV2"}
    assert "No road to the weights" in {reason for _, reason in found.skipped}


def test_with_none_that_can_be_measured_it_says_what_to_do(run: Callable[..., Choice]) -> None:
    def accuracy(one: Candidate) -> float:
        raise GraftError("No road to the weights", "Go online")

    with pytest.raises(GraftError, match="No backbone can be measured: No road to the weights") as caught:
        run(accuracy)
    assert "choose.backbones" in caught.value.fix


@pytest.mark.parametrize(("mirrored", "flip"), [(0.4, "none"), (0.8, "horizontal")])
def test_mirror_images_are_used_in_training_where_they_do_no_harm(
    run: Callable[..., Choice], mirrored: float, flip: str
) -> None:
    choice = run(lambda one: mirrored if one.mirrored else 0.8)
    scratch = ScratchParams.model_validate({"kind": "scratch", "epochs": 2, "learning_rate": 0.001, "augment": "auto"})
    assert settings_for(scratch, choice, 100)["augment"]["flip"] == flip
    assert settings_for(fine_tune(), choice, 100)["augment"]["flip"] == flip


def unlike_imagenet(one: Candidate) -> float:
    """Return an accuracy that the lower layers' features raise a great deal."""
    return 0.9 if one.pooling == "depths" else 0.75


@pytest.mark.parametrize(
    ("accuracy", "unfreeze"),
    [
        (unlike_imagenet, 0.65),
        (lambda one: 0.75, 0.65),
        (lambda one: 0.9, 0.25),
        (lambda one: 0.99 if one.pooling == "depths" else 0.97, 0.25),
    ],
    ids=["lower layers help", "no frozen network knows the classes", "they do not", "few errors"],
)
def test_the_lower_layers_are_trained_only_where_the_photographs_are_unlike_imagenets(
    run: Callable[..., Choice], accuracy: Accuracy, unfreeze: float
) -> None:
    found = settings_for(fine_tune(), run(accuracy), 100)
    assert found["unfreeze"] == unfreeze
    assert found["learning_rate"] == (0.001 if unfreeze == 0.65 else 0.00005)


@pytest.mark.parametrize(("accuracy", "is_said"), [(unlike_imagenet, True), (lambda one: 0.97, False)])
def test_the_record_says_whether_fine_tuning_promises_most(
    run: Callable[..., Choice], accuracy: Accuracy, is_said: bool
) -> None:
    assert is_promising(run(accuracy)) is is_said
    assert record(run(accuracy), ["mine"] if is_said else [])["promising"] == (["mine"] if is_said else [])


def test_the_page_says_where_fine_tuning_is_registered_first(run: Callable[..., Choice], tmp_path: Path) -> None:
    said = "Fine-tuning promises more than frozen networks here: <b>mine</b>"
    for promising in (["<b>mine</b>"], []):
        write_choice(run(unlike_imagenet), {}, tmp_path, promising)
        page = (tmp_path / PAGE_FILE).read_text(encoding="utf-8")
        assert (html.unescape(page).count(said), "<b>mine" in page) == (len(promising), False)


def test_more_images_are_fine_tuned_at_fewer_pixels_and_never_for_less_than_the_least_epochs(
    run: Callable[..., Choice],
) -> None:
    for accuracy, least in ((unlike_imagenet, 8), (lambda one: 0.9, 4)):
        choice = run(accuracy)
        few, many = (settings_for(fine_tune(), choice, count) for count in (100, 20_000))
        assert few["image_size"] > many["image_size"] == 96
        assert few["epochs"] > many["epochs"] == least


def test_folds_cost_epochs_and_no_pixels(run: Callable[..., Choice]) -> None:
    choice = run(unlike_imagenet)
    once, in_folds = (settings_for(fine_tune(), choice, 200, trainings) for trainings in (1, 6))
    assert in_folds == {**once, "epochs": 8}
    assert once["epochs"] > 8


def test_more_images_are_trained_from_scratch_at_fewer_pixels_then_for_fewer_epochs(run: Callable[..., Choice]) -> None:
    given = {"kind": "scratch", "epochs": "auto", "image_size": "auto", "augment": "auto", "learning_rate": 0.001}
    scratch = ScratchParams.model_validate(given)
    found = [settings_for(scratch, run(lambda one: 0.8), count) for count in (100, 1_000, 100_000)]
    assert [one["image_size"] for one in found] == [64, 32, 32]
    assert found[0]["epochs"] == 20 > found[2]["epochs"] >= 6
    assert scratch.filled_in(found[0], "mine").to_choose == []


@pytest.mark.parametrize(
    ("own", "views"),
    [
        ({"unfreeze": "all"}, 0),
        ({"augment": {"mix_up": 0.2}}, 0),
        ({"unfreeze": "block_13_expand"}, 4),
        ({"backbone": {"source": "hub", "name": "/nowhere"}, "image_size": 96}, 0),
    ],
)
def test_views_are_kept_where_something_below_stays_the_same(
    run: Callable[..., Choice], own: dict[str, Any], views: int
) -> None:
    given = {**fine_tune().model_dump(), **dict.fromkeys(fine_tune().to_choose, "auto"), **own}
    given.pop("auto")
    strategy = FineTuneParams.model_validate(given)
    filled = strategy.filled_in(settings_for(strategy, run(unlike_imagenet), 100), "mine")
    assert (filled.views, filled.to_choose) == (views, [])


def test_what_is_filled_in_makes_valid_strategies_that_leave_nothing_open(run: Callable[..., Choice]) -> None:
    choice = run(lambda one: 0.8)
    frozen = FrozenParams.model_validate({"kind": "frozen", "members": "auto", "image_size": "auto"})
    for strategy in (frozen, fine_tune()):
        filled = strategy.filled_in(settings_for(strategy, choice, 100), "mine")
        assert filled.to_choose == []
    assert sum(member["weight"] for member in settings_for(frozen, choice, 100)["members"]) == pytest.approx(1)


def test_a_backbone_of_ones_own_keeps_its_size(run: Callable[..., Choice]) -> None:
    own = FineTuneParams.model_validate(
        {
            "kind": "fine_tune",
            "backbone": {"source": "keras", "name": "Xception"},
            "unfreeze": "all",
            "epochs": "auto",
            "learning_rate": 0.001,
            "image_size": "auto",
        }
    )
    assert settings_for(own, run(lambda one: 0.8), 100)["image_size"] == 299


def test_equal_measurements_write_equal_files(run: Callable[..., Choice], tmp_path: Path) -> None:
    for name in ("one", "other"):
        choice = run(lambda one: 0.7 if one.image_size < 200 else 0.9)
        write_choice(choice, {"frozen": {"members": []}}, tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert {TRIED_FILE, PAGE_FILE} <= {path.name for path in files}
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "other" / path).read_bytes(), path


def test_names_from_settings_are_escaped_on_the_page(run: Callable[..., Choice], tmp_path: Path) -> None:
    write_choice(run(lambda one: 0.8), {"frozen": {"note": "<script>alert(1)</script>"}}, tmp_path)
    assert "<script>alert" not in (tmp_path / PAGE_FILE).read_text(encoding="utf-8")


@needs_browser
@pytest.mark.parametrize("is_measured", [True, False])
def test_the_page_is_whole_in_a_browser(is_measured: bool, run: Callable[..., Choice], tmp_path: Path) -> None:
    choice = run(lambda one: 0.8) if is_measured else None
    write_choice(choice, {"frozen": {"members": [{"image_size": 224}]}}, tmp_path)
    require_good((tmp_path / PAGE_FILE).as_uri())
