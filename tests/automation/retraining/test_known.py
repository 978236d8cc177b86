"""What a delivery is held against: labels by hash, paths, classes, and which images are test."""

import hashlib
import shutil
from pathlib import Path

import pytest
from small_project import deliver, picture

from graft.automation.retraining.known_images import ExistingImages, read_existing
from graft.core.errors import GraftError
from graft.core.params.models import ValidateParams
from graft.core.project import Project
from graft.data.splits.split_tables import COLUMNS


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Five images in two class folders: red/0, red/1, red/2, blue/100, blue/101."""
    deliver(tmp_path / "data", {"red": 3, "blue": 2}, first=0)
    return Project(tmp_path)


@pytest.fixture
def official(tmp_path: Path) -> Project:
    """The same images in a training folder, and a test folder with others."""
    deliver(tmp_path / "data/Training", {"red": 3, "blue": 2}, first=0)
    deliver(tmp_path / "data/Testing", {"red": 1, "blue": 2}, first=500)
    return Project(tmp_path)


def known_in(project: Project) -> ExistingImages:
    return read_existing(project, ValidateParams(), project.state / "known.parquet")


def digest(project: Project, name: str) -> str:
    return hashlib.sha256((project.data / name).read_bytes()).hexdigest()


def write_test_table(project: Project, *names: str) -> None:
    """As the last split left it."""
    rows = sorted(f"{digest(project, name)},{Path(name).parent.name}" for name in names)
    project.split_table("test").parent.mkdir(parents=True)
    project.split_table("test").write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")


def test_labels_are_known_by_the_bytes_of_their_image(project: Project) -> None:
    assert known_in(project).labels == {
        digest(project, f"{label}/{name}.png"): label
        for label, names in {"red": (0, 1, 2), "blue": (100, 101)}.items()
        for name in names
    }


def test_images_come_with_what_near_duplicates_are_found_by(project: Project) -> None:
    images = known_in(project).images
    assert list(images["path"]) == sorted(images["path"])
    assert all(len(thumbnail) == 8 * 8 * 3 for thumbnail in images["thumbnail"])


def test_paths_that_would_be_one_on_another_system_are_one(project: Project) -> None:
    picture("red", 60).save(project.data / "red/Ampel ÄÖ.PNG")
    (project.data / "red/Straße").mkdir()
    picture("red", 61).save(project.data / "red/Straße/1.png")
    paths = known_in(project).paths
    assert {"red/ampel äö.png", "red/strasse/1.png", "red/0.png", "blue/101.png"} <= paths


def test_what_cannot_be_read_takes_up_its_path_and_nothing_else(project: Project) -> None:
    (project.data / "green").mkdir()
    (project.data / "green/Broken.png").write_bytes(b"no image")
    known = known_in(project)
    assert "green/broken.png" in known.paths
    assert digest(project, "green/Broken.png") not in known.labels
    assert "green/Broken.png" not in set(known.images["path"])
    assert list(known.images.index) == [0, 1, 2, 3, 4]
    assert known.classes == ["blue", "red"]


def test_without_split_folders_new_images_go_to_the_class_folders(project: Project) -> None:
    known = known_in(project)
    assert known.classes == ["blue", "red"]
    assert known.train_folder == ""
    assert known.test == set()


def test_with_split_folders_they_go_to_the_training_folder_whatever_it_is_called(official: Project) -> None:
    known = known_in(official)
    assert known.classes == ["blue", "red"]
    assert known.train_folder == "Training"
    assert "training/red/0.png" in known.paths


def test_classes_called_train_and_test_are_classes(project: Project) -> None:
    (project.data / "red").rename(project.data / "test")
    known = known_in(project)
    assert known.classes == ["blue", "test"]
    assert (known.train_folder, known.test) == ("", set())


def test_before_the_first_split_the_test_folder_says_what_test_is(official: Project) -> None:
    tested = list((official.data / "Testing").rglob("*.png"))
    assert known_in(official).test == {hashlib.sha256(path.read_bytes()).hexdigest() for path in tested}
    assert len(tested) == 3


def test_from_then_on_the_last_split_says_it(official: Project) -> None:
    write_test_table(official, "Testing/red/500.png", "Training/red/0.png")
    assert known_in(official).test == {digest(official, "Testing/red/500.png"), digest(official, "Training/red/0.png")}


def test_a_test_image_that_is_no_longer_in_data_is_still_test(project: Project) -> None:
    write_test_table(project, "red/0.png", "blue/100.png")
    gone = digest(project, "red/0.png")
    (project.data / "red/0.png").unlink()
    known = known_in(project)
    assert known.test == {gone, digest(project, "blue/100.png")}
    assert gone not in known.labels


def test_what_is_no_split_table_is_not_passed_over(project: Project) -> None:
    write_test_table(project, "red/0.png")
    project.split_table("test").write_text("path,label\nred/0.png,red\n")
    with pytest.raises(GraftError, match="has the columns path, label"):
        known_in(project)


def test_images_that_came_since_are_known_the_next_time(project: Project) -> None:
    before = known_in(project)
    (project.data / "blue/100.png").unlink()
    picture("blue", 70).save(project.data / "blue/70.png")
    after = known_in(project)
    assert len(before.labels) == len(after.labels) == 5
    assert after.paths - before.paths == {"blue/70.png"}
    assert before.paths - after.paths == {"blue/100.png"}


@pytest.mark.parametrize("kind", ["missing", "empty", "only files"])
def test_without_class_folders_there_is_nothing_to_hold_a_delivery_against(project: Project, kind: str) -> None:
    shutil.rmtree(project.data)
    if kind != "missing":
        project.data.mkdir()
    if kind == "only files":
        picture("red", 1).save(project.data / "1.png")
    with pytest.raises(GraftError, match="data/"):
        known_in(project)
