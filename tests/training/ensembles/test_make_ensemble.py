"""From members' folders to an ensemble's, without any network being trained."""

import json

import numpy as np
import pandas as pd
import pytest
from tiny import CLASSES, COUNTS, clock

from graft.bundle.record import read_checked
from graft.core.errors import GraftError
from graft.core.params.ensemble_params import EnsembleOf
from graft.core.project import Project
from graft.data.splits.split_tables import read_splits
from graft.training.ensembles.make_ensemble import Ensemble, make_ensemble
from graft.training.ensembles.member_weights import out_of_fold

SETTINGS = {"classes": CLASSES, "image_size": 8, "max_pixels": 1000}
COUNT = len(CLASSES) * COUNTS["val"]


def write_member(project: Project, name: str, trust: float, seed: int = 0, **settings: object) -> np.ndarray:
    """A folder as stage train leaves it; ``trust`` in the right class, the rest by chance. Returns probabilities."""
    table = read_splits(project, ["val"])["val"][["sha256", "label"]]
    noise = np.random.default_rng(seed).dirichlet(np.ones(len(CLASSES)), len(table))
    right = np.eye(len(CLASSES))[[CLASSES.index(label) for label in table["label"]]]
    probabilities = trust * right + (1 - trust) * noise
    for index, label in enumerate(CLASSES):
        table[f"p_{label}"] = probabilities[:, index]
    folder = project.strategy(name)
    (folder / "model" / "saved_model").mkdir(parents=True)
    table.to_csv(folder / "val_predictions.csv", index=False, float_format="%.6g")
    (folder / "metrics.json").write_text(json.dumps({"val": {}}))
    (folder / "model" / "model.json").write_text(json.dumps({**SETTINGS, **settings}))
    (folder / "model" / "saved_model" / "weights").write_text(name)
    return probabilities


def make(project: Project, *of: str, weights: str = "fitted") -> Ensemble:
    return make_ensemble(project, EnsembleOf(of=list(of), weights=weights), "mean", clock())


def test_equal_weights_make_the_plain_mean(project: Project) -> None:
    probabilities = [write_member(project, name, 0.5, seed) for seed, name in enumerate(("a", "b", "c"))]
    made = make(project, "a", "b", "c", weights="equal")
    assert made.weights == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3})
    written = pd.read_csv(project.ensemble("mean") / "val_predictions.csv")
    np.testing.assert_allclose(written[[f"p_{label}" for label in CLASSES]], np.mean(probabilities, axis=0), atol=1e-5)
    assert written["label"].tolist() == read_splits(project, ["val"])["val"]["label"].tolist()


def test_figures_on_validation_are_those_of_weights_fitted_without_the_image(project: Project) -> None:
    members = np.stack([write_member(project, "a", 0.3, seed=1), write_member(project, "b", 0.35, seed=2)])
    made = make(project, "a", "b")
    table = read_splits(project, ["val"])["val"]
    labels = np.array([CLASSES.index(label) for label in table["label"]])
    expected = out_of_fold(labels, members, table["sha256"].to_numpy(str))
    written = pd.read_csv(made.folder / "val_predictions.csv")
    np.testing.assert_allclose(written[[f"p_{label}" for label in CLASSES]], expected, atol=1e-3)
    figures = json.loads((made.folder / "metrics.json").read_text())["val"]
    assert figures == made.validation.headline()
    right = expected[np.arange(COUNT), labels]
    assert figures["log_loss"] == pytest.approx(-np.log(right).mean(), abs=1e-3)


def test_the_bundle_holds_the_members_that_count(project: Project) -> None:
    write_member(project, "good", 0.9, max_pixels=500)
    write_member(project, "bad", 0.0, seed=5)
    made = make(project, "bad", "good")
    assert made.weights == {"bad": 0, "good": 1}
    assert json.loads((made.folder / "weights.json").read_text()) == made.weights
    bundle = made.folder / "model"
    settings = read_checked(bundle)
    files = {"known.npz", "members/good/model.json", "members/good/saved_model/weights"}
    assert settings.pop("files").keys() == files
    assert settings == {"classes": CLASSES, "max_pixels": 500, "members": [{"name": "good", "weight": 1.0}]}
    assert [path.name for path in (bundle / "members").iterdir()] == ["good"]
    assert (bundle / "members" / "good" / "saved_model" / "weights").read_text() == "good"


def test_made_again_nothing_is_left_of_former_members(project: Project) -> None:
    write_member(project, "a", 0.5, seed=1)
    write_member(project, "b", 0.5, seed=2)
    write_member(project, "c", 0.5, seed=3)
    make(project, "a", "b", weights="equal")
    made = make(project, "b", "c", weights="equal")
    assert {path.name for path in (made.folder / "model" / "members").iterdir()} == {"b", "c"}


def test_the_summary_compares_with_the_members(project: Project) -> None:
    write_member(project, "a", 0.9)
    write_member(project, "b", 0.0, seed=5)
    made = make(project, "a", "b")
    summary = made.summary()
    assert summary.startswith("mean: weights a 1.000, b 0.000; validation log loss ")
    assert f"(alone: a {made.members['a'].log_loss:.4f}, b {made.members['b'].log_loss:.4f})" in summary


def test_classes_that_look_like_numbers_and_gaps_keep_their_names(project: Project) -> None:
    for seed, name in enumerate(("a", "b")):
        write_member(project, name, 0.5, seed, classes=["001", "NA", "red"])
        path = project.strategy(name) / "val_predictions.csv"
        table = pd.read_csv(path)
        table["label"] = table["label"].replace({"blue": "001", "green": "NA"})
        table = table.rename(columns={"p_blue": "p_001", "p_green": "p_NA"})
        table.to_csv(path, index=False)
    made = make(project, "a", "b")
    assert list(made.validation.per_class) == ["001", "NA", "red"]
    assert {figures["support"] for figures in made.validation.per_class.values()} == {COUNTS["val"]}


def test_a_member_that_is_not_trained_is_named(project: Project) -> None:
    write_member(project, "a", 0.5)
    with pytest.raises(GraftError, match=r"Strategy 'b' is not trained.*dvc repro train"):
        make(project, "a", "b")


def test_members_with_other_classes_are_refused(project: Project) -> None:
    write_member(project, "a", 0.5)
    write_member(project, "b", 0.5, classes=CLASSES[::-1])
    with pytest.raises(GraftError, match=r"'b' has the classes red, green, blue, and 'a' blue, green, red"):
        make(project, "a", "b")


def test_members_of_other_splits_are_refused(project: Project) -> None:
    write_member(project, "a", 0.5)
    write_member(project, "b", 0.5)
    path = project.strategy("b") / "val_predictions.csv"
    pd.read_csv(path)[1:].to_csv(path, index=False)
    with pytest.raises(GraftError, match=rf"'a' and 'b' .*different images: {COUNT} and {COUNT - 1}, {COUNT - 1}"):
        make(project, "a", "b")
