"""Frozen networks with a head each, blended into one model: figures out of fold, a bundle that answers alike."""

from pathlib import Path

import numpy as np
import pytest
from tiny import CLASSES, clock, make_project, tiny_params

from graft.bundle.model import ImageClassifier
from graft.core.errors import GraftError
from graft.core.project import Project
from graft.data.splits.split_tables import read_splits
from graft.evaluation.prediction_table import read_prediction_table
from graft.training.train import train_strategy

BACKBONE = {"source": "keras", "name": "MobileNet", "weights": "none"}


def member(size: int, weight: float = 1.0, **settings: object) -> dict[str, object]:
    return {"backbone": BACKBONE, "image_size": size, "weight": weight, **settings}


def trained(project: Project, members: list[dict[str, object]]) -> Path:
    params = tiny_params(run=["frozen"], strategies={"frozen": {"kind": "frozen", "members": members}})
    return train_strategy(project, params.train, "frozen", clock()).folder


@pytest.fixture
def project(tmp_path: Path, no_outside_settings: None) -> Project:
    return make_project(tmp_path / "project")


def answers(bundle: Path, project: Project, split: str) -> np.ndarray:
    table = read_splits(project, [split])[split]
    frame = ImageClassifier(bundle).predict([(project.data / path).read_bytes() for path in table["path"]])
    return np.array([[row[name] for name in CLASSES] for row in frame["probabilities"]])


@pytest.mark.parametrize(
    "settings", [{}, {"mirrored": True}, {"pooling": "depths"}], ids=["plain", "mirrored", "depths"]
)
def test_one_member_is_an_ordinary_bundle(project: Project, settings: dict[str, object]) -> None:
    folder = trained(project, [member(32, **settings)])
    classifier = ImageClassifier(folder / "model")
    assert (classifier.classes, classifier.image_sizes, len(classifier.parts)) == (CLASSES, [32], 1)
    found = answers(folder / "model", project, "train")
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    # It was fitted to these, so that it knows them.
    labels = read_splits(project, ["train"])["train"]["label"]
    assert (np.array(CLASSES)[found.argmax(axis=1)] == labels).mean() > 0.8
    # Of pixels all alike it is far from all that it was shown, and says so where that is wanted.
    known = classifier.known
    assert known is not None
    assert np.isfinite(known.distances).all()
    wanted = ImageClassifier(folder / "model", wanted={"unknown": 0.2})
    images = [(project.data / path).read_bytes() for path in read_splits(project, ["train"])["train"]["path"]]
    assert (wanted.predict(images)["label"] == "unknown").mean() <= 0.2
    assert wanted.predict(np.zeros((40, 40, 3), np.uint8))["label"].tolist() == ["unknown"]


def test_a_mirrored_member_answers_alike_for_an_image_and_its_mirror_image(project: Project) -> None:
    bundle = trained(project, [member(32, mirrored=True)]) / "model"
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
    classifier = ImageClassifier(bundle)
    np.testing.assert_allclose(
        classifier.probabilities({32: pixels}), classifier.probabilities({32: pixels[:, :, ::-1]}), atol=1e-5
    )


def test_members_of_two_sizes_are_averaged_by_their_weights(project: Project) -> None:
    folder = trained(project, [member(32, 3.0), member(48, 1.0)])
    classifier = ImageClassifier(folder / "model")
    assert classifier.image_sizes == [32, 48]
    assert [part.weight for part in classifier.parts] == [0.75, 0.25]
    pixels = {size: np.full((1, size, size, 3), 90.0, np.float32) for size in (32, 48)}
    parts = [part.network(pixels[part.image_size]) for part in classifier.parts]
    np.testing.assert_allclose(classifier.probabilities(pixels), 0.75 * parts[0] + 0.25 * parts[1], atol=1e-6)


def test_validation_figures_are_out_of_fold_and_in_the_order_of_the_table(project: Project) -> None:
    """The head is fitted to the validation images too: one under a wrong label is learned, and not forgiven."""
    path = project.split_table("val")
    rows = path.read_text().splitlines()
    digest, label, *rest = rows[1].split(",")
    wrong = next(name for name in CLASSES if name != label)
    path.write_text("\n".join([rows[0], ",".join([digest, wrong, *rest]), *rows[2:]]) + "\n")
    folder = trained(project, [member(32)])
    table = read_prediction_table(folder / "val_predictions.csv")
    assert list(table["sha256"]) == list(read_splits(project, ["val"])["val"]["sha256"])
    assert (table["sha256"][0], table["label"][0]) == (digest, wrong)
    fitted = answers(folder / "model", project, "val")[0, CLASSES.index(wrong)]
    assert table[f"p_{wrong}"][0] < fitted


def test_images_of_one_group_alone_cannot_be_held_out(project: Project) -> None:
    digests = [digest for table in read_splits(project, ["train", "val"]).values() for digest in table["sha256"]]
    rows = "".join(f"{digest},{min(digests)}\n" for digest in digests)
    project.training_groups.write_text(f"sha256,group\n{rows}")
    with pytest.raises(GraftError, match="belong to one group"):
        trained(project, [member(32)])
