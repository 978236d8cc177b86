"""data/ with new images in it: put in place as a whole, without a copy of what was there, or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from photo_folders import DVC_CONFIG
from small_project import deliver, picture, pictures_in

from graft.data import versioning
from graft.data.versioning import dataset_name, pointer_file, run_dvc, tracked_hash
from graft.errors import GraftError
from graft.project import Project
from graft.retraining.checking import NewImage
from graft.retraining.growing import grow

META = {"dataset": "colours", "licence": "CC BY 4.0", "source": "a box of paints"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Four images, tracked by DVC; to be copied."""
    root = tmp_path_factory.mktemp("growing") / "project"
    deliver(root / "data", {"blue": 2, "red": 2}, first=0)
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text(DVC_CONFIG)
    project = Project(root)
    versioning.track(project, META)
    return project


@pytest.fixture
def project(made: Project, tmp_path: Path) -> Project:
    shutil.copytree(made.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


@pytest.fixture
def images(tmp_path: Path) -> list[NewImage]:
    """Three images of a delivery."""
    return [new_image(tmp_path / "week", name) for name in ("blue/5.png", "red/6.png", "red/group=a/7.png")]


def new_image(folder: Path, target: str) -> NewImage:
    file = folder / target
    file.parent.mkdir(parents=True, exist_ok=True)
    label = target.split("/")[0]
    picture(label, seed=1000 + int(file.stem)).save(file)
    return NewImage(file, target, label, hashlib.sha256(file.read_bytes()).hexdigest())


def everything(project: Project) -> dict[str, Any]:
    """All of data/, down to which file on the disk each one is, data.dvc, and what lies in the project's state."""
    files = {
        path.relative_to(project.data).as_posix(): (path.lstat().st_ino, path.lstat().st_mtime_ns)
        for path in project.data.rglob("*")
        if not path.is_dir() or path.is_symlink()
    }
    left = {path.name for path in project.state.glob("*")} - {"data.lock"}
    return {
        "files": files,
        "bytes": pictures_in(project),
        "pointer": pointer_file(project).read_bytes(),
        "left": left,
    }


def files_of(project: Project) -> dict[str, int]:
    """By path below data/, the number that the disk knows a file by."""
    return {name: (project.data / name).stat().st_ino for name in pictures_in(project)}


def test_new_images_appear_and_old_ones_are_the_same_files(project: Project, images: list[NewImage]) -> None:
    old_files, old = files_of(project), pictures_in(project)
    grow(project, images)
    assert pictures_in(project) == {**old, **{image.target: image.sha256 for image in images}}
    assert {name: number for name, number in files_of(project).items() if name in old} == old_files
    assert everything(project)["left"] == set()


def test_a_delivery_keeps_its_images_and_shares_none_of_them_with_data(
    project: Project, images: list[NewImage]
) -> None:
    grow(project, images)
    images[0].file.write_bytes(b"overwritten by the next delivery")
    assert pictures_in(project)[images[0].target] == images[0].sha256
    assert all(image.file.is_file() for image in images)


def test_data_dvc_follows_and_still_says_what_the_data_set_is(
    project: Project, images: list[NewImage]
) -> None:
    before = tracked_hash(project)
    grow(project, images)
    text = pointer_file(project).read_text(encoding="utf-8")
    assert tracked_hash(project) not in (None, before)
    assert "nfiles: 7" in text
    assert dataset_name(project) == "colours"
    assert all(f"{key}: {value}\n" in text for key, value in META.items())
    assert run_dvc(project, "status", "--json", "data.dvc").strip() == "{}"


def test_of_a_data_set_without_a_name_none_is_made_up(project: Project, images: list[NewImage]) -> None:
    pointer = pointer_file(project)
    pointer.write_text(pointer.read_text().partition("meta:")[0])
    grow(project, images[:1])
    assert dataset_name(project) == "data"
    assert "nfiles: 5" in pointer.read_text()


def test_a_folder_that_is_a_link_stays_one_and_is_not_copied(
    project: Project, images: list[NewImage], tmp_path: Path
) -> None:
    outside = deliver(tmp_path / "elsewhere", {"red": 1}) / "red"
    links = {"red/outside": outside, "red/beside": Path("../blue")}
    for name, target in links.items():
        (project.data / name).symlink_to(target)
    grow(project, images)
    assert {name: (project.data / name).readlink() for name in links} == links
    assert [path.name for path in outside.iterdir()] == ["1000.png"]
    assert (project.data / "red/beside/5.png").read_bytes() == images[0].file.read_bytes()


def test_without_hard_links_files_are_copied_with_their_times(
    project: Project, images: list[NewImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    os.utime(project.data / "red/100.png", (1_000_000_000, 1_000_000_000))
    before = pictures_in(project)
    monkeypatch.setattr(os, "link", refuse)
    grow(project, images[:1])
    assert pictures_in(project) == {**before, "blue/5.png": images[0].sha256}
    assert (project.data / "red/100.png").stat().st_mtime == 1_000_000_000


def is_untouched(project: Project, images: list[NewImage], error: type[Exception], match: str) -> None:
    """Growing fails, says why, and leaves nothing of itself."""
    before = everything(project)
    with pytest.raises(error, match=match):
        grow(project, images)
    assert everything(project) == before


def test_an_image_in_the_way_is_not_overwritten(project: Project, images: list[NewImage]) -> None:
    picture("red", 77).save(project.data / "red/6.png")
    is_untouched(project, images, GraftError, r"data/red/6\.png is there already\. Run it again")


def test_an_image_that_is_gone_leaves_data_as_it_was(project: Project, images: list[NewImage]) -> None:
    images[1].file.unlink()
    is_untouched(project, images, FileNotFoundError, r"6\.png")


def test_a_disk_that_fills_up_in_the_middle_leaves_data_as_it_was(
    project: Project, images: list[NewImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[Path] = []
    really: Callable[..., Any] = shutil.copyfile

    def full(source: Path, target: Path, **more: Any) -> Any:
        if copied:
            raise OSError(errno.ENOSPC, "No space left on device")
        copied.append(target)
        return really(source, target, **more)

    monkeypatch.setattr(shutil, "copyfile", full)
    is_untouched(project, images, OSError, "No space left on device")
    assert len(copied) == 1
    monkeypatch.undo()
    grow(project, images)
    assert len(pictures_in(project)) == 7


def test_data_that_is_a_link_is_refused(project: Project, images: list[NewImage], tmp_path: Path) -> None:
    project.data.rename(tmp_path / "on another disk")
    project.data.symlink_to(tmp_path / "on another disk")
    is_untouched(project, images, GraftError, "is a link or a file")
