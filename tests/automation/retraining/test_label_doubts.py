"""Labels in doubt: a class mixed up with another is found, and other cameras and hard images are left alone."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny import SIZE, clock, tiny_params, write_hub_module

from graft.automation.retraining.checking import CheckedDelivery, NewImage
from graft.automation.retraining.deliveries import Delivery
from graft.automation.retraining.known_images import ExistingImages, read_existing
from graft.automation.retraining.label_doubts import DeliveryLabelCheck, Doubt, Images, Judge
from graft.core.params import Params
from graft.core.project import Project
from graft.data.scan.near_duplicates import Limits, find_near_duplicates
from graft.networks import decode_images as training_images
from graft.training.train import train_strategy

CLASSES = ["paper", "rock", "scissors"]
DIMENSIONS = 16


def drawn(labels: list[str], seed: int, shift: float = 0.0, spread: float = 1.0) -> Images:
    """Features around a place of their class, images of ordinary brightness; ``shift`` moves all of them aside."""
    random = np.random.default_rng(seed)
    places = 4 * np.eye(DIMENSIONS)[[CLASSES.index(label) for label in labels]]
    features = places + spread * random.normal(size=(len(labels), DIMENSIONS))
    features[:, -1] += shift
    looks = random.uniform(0.4, 0.6, (len(labels), 1))
    return Images(features.astype(np.float32), np.array(labels), looks)


def labelled(images: Images, labels: list[str]) -> Images:
    return Images(images.features, np.array(labels), images.looks)


@pytest.fixture(scope="module")
def known() -> Images:
    return drawn(40 * CLASSES, seed=1)


@pytest.fixture(scope="module")
def groups() -> np.ndarray:
    return np.arange(40 * len(CLASSES)) // 6


def doubts(known: Images, groups: np.ndarray, new: Images, max_share: float = 0.3) -> list[Doubt]:
    judge = Judge.taught(known, groups, seed=0)
    return judge.doubts(new, max_share) if judge else []


def test_right_labels_are_not_doubted(known: Images, groups: np.ndarray) -> None:
    for seed in range(10, 20):
        assert doubts(known, groups, drawn(12 * CLASSES, seed)) == []


def test_a_class_under_another_name_is_found_with_what_it_looks_like(known: Images, groups: np.ndarray) -> None:
    truth = ["scissors"] * 20 + ["paper"] * 10
    found = doubts(known, groups, labelled(drawn(truth, 2), ["rock"] * 20 + ["paper"] * 10))
    assert [(doubt.label, doubt.suggested, doubt.images) for doubt in found] == [("rock", "scissors", 20)]
    assert found[0].doubtful >= 12
    assert len(found[0].examples) == 3
    assert all(0 <= index < 20 for index in found[0].examples)
    assert str(found[0]) == f"{found[0].doubtful} of 20 images labelled 'rock' look like 'scissors'"


def test_two_classes_that_were_exchanged_are_both_found(known: Images, groups: np.ndarray) -> None:
    truth = ["scissors"] * 20 + ["rock"] * 20
    found = doubts(known, groups, labelled(drawn(truth, 3), truth[::-1]))
    assert [(doubt.label, doubt.suggested) for doubt in found] == [("rock", "scissors"), ("scissors", "rock")]


def test_wrong_labels_of_several_kinds_are_told_as_such(known: Images, groups: np.ndarray) -> None:
    found = doubts(known, groups, labelled(drawn(["paper"] * 8 + ["rock"] * 12, 4), ["scissors"] * 20))
    assert found[0].suggested == "rock"
    assert found[0].alike < found[0].doubtful
    assert f"look like other classes, {found[0].alike} of them like 'rock'" in str(found[0])


def test_a_few_wrong_labels_are_left_to_training(known: Images, groups: np.ndarray) -> None:
    labels = ["rock"] * 20
    assert doubts(known, groups, labelled(drawn(["paper"] * 4 + ["rock"] * 16, 5), labels)) == []


def test_the_share_that_may_speak_against_a_label_is_the_one_asked_for(known: Images, groups: np.ndarray) -> None:
    new = labelled(drawn(["paper"] * 10 + ["rock"] * 10, 5), ["rock"] * 20)
    (found,) = doubts(known, groups, new, max_share=0.1)
    assert doubts(known, groups, new, max_share=found.doubtful / 20) == []
    assert doubts(known, groups, new, max_share=(found.doubtful - 1) / 20) == [found]


def test_images_between_two_classes_are_hard_and_not_doubted(known: Images, groups: np.ndarray) -> None:
    new = drawn(["paper"] * 20, 14, spread=0.4)
    between = new.features.copy()
    between[:, CLASSES.index("paper")] = 2.4
    between[:, CLASSES.index("rock")] = 1.7
    rocks = ["rock"] * 20
    assert doubts(known, groups, labelled(new, rocks))
    assert doubts(known, groups, labelled(Images(between, new.labels, new.looks), rocks)) == []


def test_two_images_condemn_no_class(known: Images, groups: np.ndarray) -> None:
    assert doubts(known, groups, labelled(drawn(["paper"] * 2, 6), ["rock"] * 2), max_share=0.01) == []


def test_images_unlike_those_known_are_not_judged(known: Images, groups: np.ndarray) -> None:
    truth, labels = ["paper"] * 20, ["rock"] * 20
    assert doubts(known, groups, labelled(drawn(truth, 7), labels))
    assert doubts(known, groups, labelled(drawn(truth, 7, shift=30), labels)) == []


def test_images_darker_than_those_known_are_not_judged(known: Images, groups: np.ndarray) -> None:
    new = labelled(drawn(["paper"] * 20, 8), ["rock"] * 20)
    assert doubts(known, groups, new)
    assert doubts(known, groups, Images(new.features, new.labels, new.looks / 3)) == []


def test_a_camera_that_moves_all_classes_one_way_is_not_called_a_wrong_label(known: Images, groups: np.ndarray) -> None:
    new = drawn(["rock"] * 20 + ["paper"] * 20, 9)
    moved = new.features + 4 * (np.arange(DIMENSIONS) == CLASSES.index("paper"))
    moved[:, CLASSES.index("rock")] *= 0.1
    delivery = Images(moved.astype(np.float32), new.labels, new.looks)
    # By themselves the rocks look like paper; beside paper of the same camera they do not.
    assert [doubt.suggested for doubt in doubts(known, groups, delivery.some(np.arange(20)))] == ["paper"]
    assert doubts(known, groups, delivery) == []


def test_labels_are_not_held_to_what_the_known_ones_do_not_keep(groups: np.ndarray) -> None:
    random = np.random.default_rng(0)
    known = drawn(40 * CLASSES, seed=1, spread=0.5)
    # A third of what is called rock is paper there, and nobody minds.
    rocks = np.flatnonzero(known.labels == "rock")
    mixed = known.features.copy()
    third = random.permutation(rocks)[: len(rocks) // 3]
    mixed[third] = drawn(["paper"] * len(third), 11, spread=0.5).features
    known = Images(mixed, known.labels, known.looks)
    new = labelled(drawn(["rock"] * 13 + ["paper"] * 7, 12, spread=0.5), ["rock"] * 20)
    assert doubts(known, groups, new, max_share=0.1) == []


def test_of_classes_that_cannot_be_told_apart_nothing_is_said(known: Images, groups: np.ndarray) -> None:
    new = labelled(drawn(["paper"] * 20, 13), ["rock"] * 20)
    only = np.flatnonzero(known.labels == "rock")
    assert doubts(known.some(only), groups[only], new) == []
    # One film of rock says nothing about rock; another class that is known is judged all the same.
    film = np.where(known.labels == "rock", -1, groups)
    assert doubts(known, film, new) == []
    found = doubts(known, film, labelled(drawn(["paper"] * 20, 13), ["scissors"] * 20))
    assert [doubt.suggested for doubt in found] == ["paper"]
    assert doubts(known, groups, labelled(new, ["lizard"] * 20)) == []
    assert doubts(known, groups, new.some(np.empty(0, int))) == []


# With images, a backbone and a project.

COLOURS = ("red", "green", "blue")  # of tinted_images, which are 20 pixels a side


@pytest.fixture
def params(tmp_path: Path) -> Params:
    module = write_hub_module(tmp_path / "module", SIZE)
    head = {"kind": "frozen", "epochs": 1, "learning_rate": 0.01, "batch_size": 4}
    return tiny_params(run=["head"], backbone={"source": "hub", "name": str(module)}, strategies={"head": head})


@pytest.fixture
def known_here(project: Project, params: Params) -> ExistingImages:
    known = read_existing(project, params.validate_, project.state / "known.parquet")
    # Noise of one colour is near-duplicate by nature, and would be one group.
    assert len(find_near_duplicates(known.images, Limits(4, 0.02))) == 0
    return known


def delivered(folder: Path, labels: list[str], renamed: dict[str, str] | None = None) -> CheckedDelivery:
    """Images of these classes; ``renamed`` ones under another name."""
    channels = [COLOURS.index(label) for label in labels]
    noise = np.random.default_rng(77).integers(0, 90, (len(labels), 20, 20, 3)).astype(np.uint8)
    noise[np.arange(len(labels)), :, :, channels] += 150
    checked = CheckedDelivery(Delivery(folder.name, (folder,)))
    for number, (label, image) in enumerate(zip(labels, noise, strict=True)):
        name = (renamed or {}).get(label, label)
        file = folder / "data" / name / f"{number:04d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        checked.images.append(NewImage(file, f"{name}/{file.stem}_{digest[:8]}.png", name, digest))
    return checked


def test_a_delivery_with_a_renamed_class_is_doubted_in_words(
    project: Project, params: Params, known_here: ExistingImages, tmp_path: Path
) -> None:
    good = delivered(tmp_path / "week-11", ["red", "green", "blue"] * 6)
    bad = delivered(tmp_path / "week-12", ["blue"] * 8 + ["green"] * 8, {"blue": "red"})
    check = DeliveryLabelCheck(project, params, known_here)
    assert check.doubts(good) == []
    (doubt,) = check.doubts(bad)
    assert (doubt.label, doubt.suggested) == ("red", "blue")
    example = bad.images[doubt.examples[0]]
    assert example.label == "red"
    assert str(doubt).endswith(
        f"of 8 images labelled 'red' look like 'blue', for example week-12/red/{example.file.name}"
    )


def test_before_the_first_split_nothing_is_doubted(
    project: Project, params: Params, known_here: ExistingImages, tmp_path: Path
) -> None:
    bad = delivered(tmp_path / "week-12", ["blue"] * 8, {"blue": "red"})
    for split in ("train", "val"):
        project.split_table(split).unlink()
    assert DeliveryLabelCheck(project, params, known_here).doubts(bad) == []


def test_images_of_test_have_no_say(
    project: Project, params: Params, known_here: ExistingImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graft.automation.retraining import label_doubts

    seen: list[Path] = []
    really = label_doubts._features
    monkeypatch.setattr(
        label_doubts, "_features", lambda embedder, files, *more: seen.extend(files) or really(embedder, files, *more)
    )
    checked = delivered(tmp_path / "week-12", ["blue"] * 8)
    DeliveryLabelCheck(project, params, known_here).doubts(checked)
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in seen}
    tables = {split: set(pd.read_csv(project.split_table(split))["sha256"]) for split in ("train", "val", "test")}
    assert digests == tables["train"] | tables["val"] | {image.sha256 for image in checked.images}
    assert not digests & tables["test"]


def test_training_decodes_no_image_that_was_looked_at(
    project: Project, params: Params, known_here: ExistingImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = delivered(tmp_path / "week-12", ["red", "green", "blue"] * 4)
    DeliveryLabelCheck(project, params, known_here).doubts(checked)
    rows = []
    for image in checked.images:  # as data/ and its split have them once they are taken in
        shutil.copyfile(image.file, project.data / image.target)
        rows.append({"path": image.target, "label": image.label, "sha256": image.sha256})
    manifest = pd.read_parquet(project.manifest)
    added = pd.DataFrame(rows).assign(split="", left_out="")
    pd.concat([manifest, added]).to_parquet(project.manifest, index=False)
    table = pd.concat([pd.read_csv(project.split_table("train")), added[["sha256", "label"]]])
    table.sort_values("sha256").to_csv(project.split_table("train"), index=False, lineterminator="\n")

    decoded: list[int] = []
    really = training_images.decode
    monkeypatch.setattr(
        training_images, "decode", lambda data, *more, **named: decoded.append(1) or really(data, *more, **named)
    )
    trained = train_strategy(project, params.train, "head", clock())
    assert trained.task.classes == sorted(COLOURS)
    assert decoded == []
    shutil.rmtree(project.features)
    train_strategy(project, params.train, "head", clock())
    assert len(decoded) == len(table) + len(pd.read_csv(project.split_table("val")))
