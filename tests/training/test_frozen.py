"""Strategy `frozen`: what the head learns from."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny import CLASSES, COUNTS, SIZE, clock, tiny_params, write_hub_module

from graft.bundle.model import ImageClassifier
from graft.core.errors import GraftError
from graft.core.params.strategy_params import FrozenParams
from graft.core.project import Project
from graft.data.splits.split_tables import read_splits
from graft.training.train import FittedStrategy, train_strategy


def test_mirrored_images_are_learned_from_and_validation_stays_as_it_is(project: Project, tmp_path: Path) -> None:
    module = write_hub_module(tmp_path / "module", SIZE)
    steps, validated = {}, {}
    for flip in ("none", "horizontal"):
        strategy = {"kind": "frozen", "epochs": 1, "learning_rate": 0.05, "batch_size": 1, "flip": flip}
        params = tiny_params(
            run=["head"], backbone={"source": "hub", "name": str(module)}, strategies={"head": strategy}
        ).train
        train_strategy(project, params, "head", clock())
        steps[flip] = len(pd.read_csv(project.strategy("head") / "steps.csv"))
        validated[flip] = len(pd.read_csv(project.strategy("head") / "val_predictions.csv"))
    assert steps["horizontal"] == 2 * steps["none"] > 0
    assert validated["horizontal"] == validated["none"]


def train_exact(project: Project, module: Path, **settings: Any) -> FittedStrategy:
    params = tiny_params(
        run=["head"],
        backbone={"source": "hub", "name": str(module)},
        strategies={"head": {"kind": "frozen", "head": "exact", "folds": 4, **settings}},
    ).train
    return train_strategy(project, params, "head", clock())


def test_an_exact_head_is_a_bundle_like_any_other(project: Project, tmp_path: Path) -> None:
    """The standardisation is in its weights: the bundle alone answers as the head on the features does."""
    trained = train_exact(project, write_hub_module(tmp_path / "module", SIZE))
    folder = project.strategy("head")
    logits = trained.trained.val_logits / trained.calibration.temperature
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    paths = read_splits(project, ["val"])["val"]["path"]
    model = ImageClassifier(folder / "model")
    answers = model.predict([(project.data / path).read_bytes() for path in paths])["probabilities"]
    np.testing.assert_allclose([[row[label] for label in CLASSES] for row in answers], expected, atol=1e-5)
    stated = pd.read_csv(folder / "val_predictions.csv")[[f"p_{label}" for label in CLASSES]]
    np.testing.assert_allclose(stated, expected, atol=1e-5)
    assert trained.validation.accuracy > 0.9
    total, of_head = trained.trained.parameter_counts
    assert of_head == 8 * len(CLASSES) + len(CLASSES) < total


def test_the_path_of_penalties_stands_where_epochs_stand(project: Project, tmp_path: Path) -> None:
    trained = train_exact(project, write_hub_module(tmp_path / "module", SIZE))
    folder = project.strategy("head")
    epochs = pd.read_csv(folder / "epochs.csv")
    assert list(epochs["epoch"]) == list(range(len(epochs)))
    assert epochs["penalty"].is_monotonic_decreasing
    fit = trained.trained.fit
    assert epochs["out_of_fold_log_loss"].min() == pytest.approx(epochs["out_of_fold_log_loss"][fit.best_epoch])
    assert len(pd.read_csv(folder / "steps.csv")) == len(epochs)
    figures = json.loads((folder / "metrics.json").read_text())
    assert trained.cross_validation is not None
    assert figures == {"val": trained.validation.headline(), "out_of_fold": trained.cross_validation.headline()}
    assert trained.cross_validation.accuracy > 0.9


def test_the_temperature_is_of_the_training_images_and_validation_chooses_nothing(
    project: Project, tmp_path: Path
) -> None:
    module = write_hub_module(tmp_path / "module", SIZE)
    before = train_exact(project, module)
    table = project.split_table("val")
    rows = pd.read_csv(table, dtype=str)
    rows["label"] = rows["label"].to_numpy()[::-1]
    rows.to_csv(table, index=False, lineterminator="\n")
    after = train_exact(project, module)
    assert after.calibration.temperature == before.calibration.temperature
    np.testing.assert_array_equal(after.trained.val_logits, before.trained.val_logits)
    assert after.validation.accuracy != before.validation.accuracy


def test_groups_stay_in_one_fold_mirrored_images_too(project: Project, tmp_path: Path) -> None:
    hashes = list(pd.read_csv(project.split_table("train"), dtype=str)["sha256"])
    rows = [f"{digest},{digest[0]}" for digest in hashes]
    project.training_groups.write_text("sha256,group\n" + "\n".join(rows) + "\n")
    trained = train_exact(project, write_hub_module(tmp_path / "module", SIZE), flip="horizontal")
    cross = trained.trained.out_of_fold
    assert cross is not None
    assert cross.logits.shape == (len(CLASSES) * COUNTS["train"], len(CLASSES))
    assert len(set(cross.groups)) == len({digest[0] for digest in hashes})
    project.training_groups.write_text("sha256,group\n" + "".join(f"{digest},one\n" for digest in hashes))
    with pytest.raises(GraftError, match="belong to one group"):
        train_exact(project, tmp_path / "module")


def test_what_is_named_says_how_the_head_is_fitted() -> None:
    assert FrozenParams(kind="frozen").solver == "exact"
    assert FrozenParams.model_validate({"kind": "frozen", "head": "exact"}).solver == "exact"
    assert FrozenParams.model_validate({"kind": "frozen", "head": {"pooling": "max"}}).solver == "exact"
    assert FrozenParams.model_validate({"kind": "frozen", "epochs": 5}).solver == "sgd"
    assert FrozenParams.model_validate({"kind": "frozen", "head": {"hidden": [8]}}).solver == "sgd"
    exact = FrozenParams(kind="frozen", flip="horizontal").model_dump()
    assert exact["head"] == {"pooling": "average"}
    assert not {"epochs", "learning_rate", "optimizer"} & set(exact)
    trained = FrozenParams(kind="frozen", epochs=5).model_dump()
    assert (trained["epochs"], trained["head"]["dropout"]) == (5, 0.2)
    assert "folds" not in trained


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"head": "exact", "epochs": 3}, "epochs"), ({"solver": "exact", "head": {"hidden": [3]}}, "head.hidden")],
)
def test_an_exact_head_has_no_epochs(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(GraftError, match=f"{name} is set, but an exact head"):
        tiny_params(run=["head"], strategies={"head": {"kind": "frozen", **settings}})
