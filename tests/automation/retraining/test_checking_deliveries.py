"""Which images of a delivery may go into data/, and which deliveries may not at all."""

import os
import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from small_project import deliver, picture

from graft.automation.retraining.checking import CheckedDelivery, check_delivery
from graft.automation.retraining.deliveries import Delivery, find_deliveries
from graft.automation.retraining.known_images import ExistingImages, read_existing
from graft.automation.retraining.unpacking import unpack
from graft.core.params.models import ValidateParams
from graft.core.params.retrain_params import DeliveryParams
from graft.core.project import Project

RULES = ValidateParams()
TOLERANT = DeliveryParams(max_bad_share=0.9)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    deliver(tmp_path / "data", {"red": 4, "blue": 4}, first=0)
    return Project(tmp_path)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def known_in(project: Project) -> ExistingImages:
    return read_existing(project, RULES, project.root / "known.parquet")


def check(project: Project, params: DeliveryParams = TOLERANT, known: ExistingImages | None = None) -> CheckedDelivery:
    """Of the one delivery in the inbox."""
    (one,) = find_deliveries(project.root / "inbox", 0).deliveries
    folder = project.root / "unpacked" / one.name
    shutil.rmtree(folder, ignore_errors=True)
    return check_delivery(one, folder, known or known_in(project), RULES, params)


def targets(checked: CheckedDelivery) -> list[str]:
    return sorted(image.target for image in checked.images)


def reasons(checked: CheckedDelivery) -> list[str]:
    return sorted(one.why for one in checked.left_out)


def test_good_images_keep_their_names(project: Project, inbox: Path) -> None:
    deliver(inbox / "week", {"red": 2, "blue": 1})
    checked = check(project)
    assert checked.accepted
    assert targets(checked) == ["blue/1100.png", "red/1000.png", "red/1001.png"]
    assert checked.counts == {"blue": 1, "red": 2}
    assert not checked.left_out


def test_folders_around_class_folders_are_left_away(project: Project, inbox: Path) -> None:
    deliver(inbox / "week/export/labelled", {"red": 1})
    assert targets(check(project)) == ["red/1000.png"]


def test_a_group_folder_below_the_only_class_stays(project: Project, inbox: Path) -> None:
    deliver(inbox / "week/red", {"group=hand7": 2})
    assert targets(check(project)) == ["red/group=hand7/1000.png", "red/group=hand7/1001.png"]


def test_class_folders_in_the_inbox_itself(project: Project, inbox: Path) -> None:
    deliver(inbox, {"red": 1, "blue": 1})
    assert targets(check(project)) == ["blue/1100.png", "red/1000.png"]


def test_an_archive(project: Project, inbox: Path) -> None:
    deliver(project.root / "packed", {"red": 2})
    shutil.make_archive(str(inbox / "week"), "zip", project.root / "packed")
    assert targets(check(project)) == ["red/1000.png", "red/1001.png"]


def test_a_torn_archive_is_refused(project: Project, inbox: Path) -> None:
    deliver(project.root / "packed", {"red": 2})
    archive = Path(shutil.make_archive(str(project.root / "week"), "zip", project.root / "packed"))
    (inbox / "week.zip").write_bytes(archive.read_bytes()[:-200])
    checked = check(project)
    assert not checked.accepted
    assert checked.refused[0].startswith("week.zip is damaged or cut off")


def test_an_archive_that_would_write_outside_is_refused(project: Project, inbox: Path) -> None:
    with zipfile.ZipFile(inbox / "week.zip", "w") as archive:
        archive.writestr("../../red/1.png", b"x")
    checked = check(project)
    assert not checked.accepted
    assert not (project.root / "red").exists()


def test_a_delivery_without_images_is_refused(project: Project, inbox: Path) -> None:
    (inbox / "week").mkdir()
    (inbox / "week/notes.txt").write_text("none")
    assert check(project).refused == ["It holds no images."]


def test_what_cannot_be_read_is_left_out(project: Project, inbox: Path) -> None:
    deliver(inbox / "week", {"red": 3})
    (inbox / "week/red/1000.png").write_bytes(b"not a picture")
    checked = check(project)
    assert reasons(checked) == ["unreadable: not an image that can be read, but text"]
    assert len(checked.images) == 2


def test_too_many_bad_images_refuse_the_delivery(project: Project, inbox: Path) -> None:
    deliver(inbox / "week", {"red": 4})
    for name in ("1000", "1001"):
        (inbox / f"week/red/{name}.png").write_bytes(b"")
    checked = check(project, DeliveryParams(max_bad_share=0.4))
    assert not checked.accepted
    assert not checked.images
    assert "2 of its 4 images cannot be used" in checked.refused[0]
    assert check(project, DeliveryParams(max_bad_share=0.5)).accepted


def test_an_unknown_class_is_left_out_and_named(project: Project, inbox: Path) -> None:
    deliver(inbox / "week", {"red": 2, "green": 1})
    checked = check(project)
    assert reasons(checked) == ["of the class 'green', which data/ does not know (blue, red)"]
    assert targets(checked) == ["red/1000.png", "red/1001.png"]


def test_an_image_in_no_class_folder_is_left_out(project: Project, inbox: Path) -> None:
    deliver(inbox / "week/sub", {"red": 2})
    picture("red", 1).save(inbox / "week/sub/stray.png")
    checked = check(project)
    assert reasons(checked) == ["in no class folder"]
    assert targets(checked) == ["red/1000.png", "red/1001.png"]


def test_copies_of_what_is_there_are_passed_over(project: Project, inbox: Path) -> None:
    shutil.copytree(project.data, inbox / "week")
    deliver(inbox / "week", {"red": 1})
    checked = check(project)
    assert checked.known == 8
    assert targets(checked) == ["red/1000.png"]
    assert not checked.left_out


def test_the_same_bytes_under_another_label_are_left_out(project: Project, inbox: Path) -> None:
    (inbox / "week/blue").mkdir(parents=True)
    shutil.copy(project.data / "red/0.png", inbox / "week/blue/other.png")
    deliver(inbox / "week", {"red": 1})
    assert reasons(check(project)) == ["labelled 'blue', and in data/ with the same bytes 'red'"]


def test_one_image_under_two_labels_of_a_delivery_is_left_out_twice(project: Project, inbox: Path) -> None:
    deliver(inbox / "week", {"red": 2, "blue": 1})
    shutil.copy(inbox / "week/red/1000.png", inbox / "week/blue/same.png")
    checked = check(project)
    assert reasons(checked) == ["there under several labels: blue, red"] * 2
    assert targets(checked) == ["blue/1100.png", "red/1001.png"]


def test_another_image_of_a_taken_name_gets_another_name(project: Project, inbox: Path) -> None:
    (inbox / "week/red").mkdir(parents=True)
    picture("red", 77).save(inbox / "week/red/0.PNG")
    (image,) = check(project).images
    assert image.target == f"red/0_{image.sha256[:8]}.PNG"


def test_the_next_delivery_is_held_against_this_one(project: Project, inbox: Path) -> None:
    known = known_in(project)
    deliver(inbox / "week", {"red": 1})
    first = check(project, known=known)
    assert len(check(project, known=known).images) == 1  # nothing is known before it is accepted
    known.accept(first.images, first.changes)
    second = check(project, known=known)
    assert len(first.images) == 1
    assert (second.known, second.images) == (1, [])


def test_a_near_duplicate_of_a_test_image_never_reaches_training(project: Project, inbox: Path) -> None:
    split = project.artifacts("split")
    split.mkdir(parents=True)
    known = known_in(project)
    rows = known.images[known.images["path"] == "red/0.png"]
    rows[["sha256", "label"]].to_csv(split / "test.csv", index=False)
    for name in ("0", "1"):
        image = Image.open(project.data / f"red/{name}.png")
        (inbox / "week/red").mkdir(parents=True, exist_ok=True)
        image.resize((26, 26), Image.Resampling.BICUBIC).save(inbox / f"week/red/again{name}.png")
    checked = check(project)
    assert reasons(checked) == ["nearly the same as the test image red/0.png"]
    assert targets(checked) == ["red/again1.png"]  # one of a training image does no such harm


def test_too_small_an_image_is_left_out_as_the_pipeline_would_stop_at_it(project: Project, inbox: Path) -> None:
    deliver(inbox / "week", {"red": 2})
    picture("red", 5, side=4).save(inbox / "week/red/tiny.png")
    assert reasons(check(project)) == ["too small: 4x4, and validate.min_side_px is 8"]


class TestSplitFolders:
    @pytest.fixture
    def official(self, tmp_path: Path) -> Project:
        deliver(tmp_path / "data/Training", {"red": 3, "blue": 3}, first=0)
        deliver(tmp_path / "data/test", {"red": 2, "blue": 2}, first=500)
        return Project(tmp_path)

    def test_new_images_go_to_the_training_folder(self, official: Project, inbox: Path) -> None:
        deliver(inbox / "week", {"red": 1})
        assert targets(check(official)) == ["Training/red/1000.png"]

    def test_a_delivery_may_say_train_itself(self, official: Project, inbox: Path) -> None:
        deliver(inbox / "week/train", {"red": 1})
        deliver(inbox / "week/train", {"blue": 1})
        assert targets(check(official)) == ["Training/blue/1000.png", "Training/red/1000.png"]

    def test_no_delivery_changes_test(self, official: Project, inbox: Path) -> None:
        deliver(inbox / "week/train", {"red": 2})
        deliver(inbox / "week/test", {"red": 1}, first=2000)
        checked = check(official)
        assert reasons(checked) == ["meant for test, which no delivery may change"]
        assert targets(checked) == ["Training/red/1000.png", "Training/red/1001.png"]

    def test_before_the_first_split_the_test_folder_says_what_test_is(self, official: Project) -> None:
        known = known_in(official)
        assert len(known.test) == 4
        assert isinstance(known.images, pd.DataFrame)


def test_a_delivery_that_is_gone_is_refused(project: Project) -> None:
    gone = Delivery("gone", (project.root / "gone",))
    checked = check_delivery(gone, project.root / "x", known_in(project), RULES, TOLERANT)
    assert "There is no" in checked.refused[0]


def test_b13_a_class_folder_is_listed_once_however_much_is_in_it(
    project: Project, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(inbox / "one", {"red": 1})
    (inbox / "many/red").mkdir(parents=True)
    for number in range(400):
        (inbox / f"many/red/{number}.png").write_bytes(str(number).encode())
    listed: list[str] = []
    for function in ("scandir", "listdir"):
        really = getattr(os, function)
        monkeypatch.setattr(os, function, lambda path, really=really: listed.append(str(path)) or really(path))
    lists = {}
    for one in find_deliveries(inbox, 0).deliveries:
        listed.clear()
        unpack(one, project.root / "unpacked" / one.name, ["red", "blue"], is_official=False)
        lists[one.name] = len(listed)
    assert lists["one"] == lists["many"] < 20


def test_b2_every_file_of_a_delivery_is_an_image_or_left_out(project: Project, inbox: Path) -> None:
    week = deliver(inbox / "week/sub", {"red": 2})
    others = {
        "red/IMG_1.CR2": ("in the format CR2, which graft does not read", True),
        "red/more.ZIP": ("an archive inside the delivery, which is not opened", True),
        "red/notes.txt": ("no image", False),
        "stray.png": ("in no class folder", True),
    }
    for name in others:
        (week / name).write_bytes(name.encode())
    checked = check(project)
    found = {one.path: (one.why, one.is_picture) for one in checked.left_out}
    assert found == {f"sub/{name}": reason for name, reason in others.items()}
    assert all(one.file.read_bytes() == one.path.removeprefix("sub/").encode() for one in checked.left_out)
    assert len(checked.sha256) == 2


def test_b2_formats_that_are_not_read_count_and_notes_do_not(project: Project, inbox: Path) -> None:
    week = deliver(inbox / "week", {"red": 2})
    for number in range(5):
        (week / f"red/{number}.json").write_text("{}")
    assert check(project, DeliveryParams(max_bad_share=0.4)).accepted
    for number in range(2):
        (week / f"red/{number}.cr2").write_bytes(str(number).encode())
    checked = check(project, DeliveryParams(max_bad_share=0.4))
    assert "2 of its 4 images cannot be used: 2 in the format CR2" in checked.refused[0]
