"""A data/ that somebody has filled by hand."""

from collections import Counter
from pathlib import Path

import pytest
from photo_folders import png, write

from graft.core.errors import GraftError
from graft.core.params.models import ValidateParams
from graft.data.folder.layout import image_files, read_layout
from graft.data.scan.manifest import read_manifest
from graft.data.scan.scan_images import scan


def left_out(data: Path) -> dict[str, str]:
    """Every image that a scan sees, by path, with the reason why it takes no part, or ``""``."""
    target = data.parent / "manifest.parquet"
    scan(read_layout(data), ValidateParams(), target)
    images = read_manifest(target)
    return dict(zip(images["path"], images["left_out"], strict=True))


def test_case_1_files_that_graft_does_not_read_are_named_and_notes_are_counted(data: Path) -> None:
    for name in ("a.cr2", "b.npy", "000.mov", "000.xml", "c.txt", "d.photo"):
        (data / "cat" / name).write_bytes((data / "dog" / "000.jpg").read_bytes() if name == "d.photo" else b"x")
    found = left_out(data)
    assert {path: reason for path, reason in found.items() if reason} == {
        "cat/a.cr2": "unreadable: a .cr2 file, which graft does not read",
        "cat/b.npy": "unreadable: a .npy file, which graft does not read",
        "cat/d.photo": "two labels: the same bytes as dog/000.jpg",
        "dog/000.jpg": "two labels: the same bytes as cat/d.photo",
    }
    passed_over: Counter[str] = Counter()
    assert len(list(image_files(read_layout(data), passed_over))) == len(found)
    assert passed_over == {".mov files": 1, ".xml files": 1, ".txt files": 1}


def test_case_6_links_into_dvcs_cache_are_read_and_linked_folders_are_named(data: Path, tmp_path: Path) -> None:
    cached = tmp_path / "shared" / "files" / "md5" / "0a" / ("b" * 30)
    cached.parent.mkdir(parents=True)
    (data / "cat" / "000.png").rename(cached)
    (data / "cat" / "000.png").symlink_to(cached)
    write(tmp_path / "elsewhere", {"1.png": png(700)})
    (data / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (data / "bird").symlink_to(tmp_path / "elsewhere")
    passed_over: Counter[str] = Counter()
    list(image_files(read_layout(data), passed_over))
    assert passed_over == {"links to folders": 1}
    found = left_out(data)
    assert found.pop("bird") == "unreadable: a link to a folder, which is not followed"
    assert len(found) == 24
    assert set(found.values()) == {""}


@pytest.mark.parametrize("folder", ["@eaDir", "$RECYCLE.BIN", "lost+found", ".Trash-1000", "System Volume Information"])
def test_case_10_what_systems_leave_behind_is_no_class_and_no_image(folder: str, data: Path) -> None:
    write(data, {f"{folder}/1.png": png(600), f"cat/{folder}/2.png": png(601), "dog/._000.jpg": b"x"})
    passed_over: Counter[str] = Counter()
    files = list(image_files(read_layout(data), passed_over))
    assert len(files) == 24
    assert {file.place[0] for file in files} == {"cat", "dog"}
    assert passed_over == {folder: 2, "._*": 1}


@pytest.mark.parametrize(
    "names",
    [("seg_train", "seg_test"), ("training_set", "test_set"), ("Train", "Dev"), ("Training Data", "validation")],
)
def test_case_7_split_folders_of_other_names_are_splits(names: tuple[str, str], tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in names:
        write(data / name, {f"{label}/{n}.png": png(n) for label in ("cat", "dog") for n in range(2)})
    layout = read_layout(data)
    assert layout.split_folders[names[0]] == "train"
    assert len(layout.split_folders) == 2
    assert {file.place[0] for file in image_files(layout)} == {"cat", "dog"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("train/cat/1.png", "test/1.png"), "test holds no class folders, but 1 files, for example 1.png"),
        (("seg_train/seg_train/cat/1.png", "seg_test/seg_test/cat/1.png"), "but the split folder seg_[a-z]+ once more"),
        (("seg_train/cat/1.png", "seg_test/cat/1.png", "seg_pred/1.png"), "beside them 'seg_pred'"),
    ],
)
def test_case_7_splits_that_hold_no_classes_are_refused(files: tuple[str, ...], message: str, tmp_path: Path) -> None:
    data = write(tmp_path / "data", {name: png(number) for number, name in enumerate(files)})
    with pytest.raises(GraftError, match=message):
        read_layout(data)


@pytest.mark.parametrize("names", [("train", "bus"), ("train_station", "test_tube"), ("freight train", "test track")])
def test_case_7_classes_that_are_called_so_are_no_splits(names: tuple[str, ...], tmp_path: Path) -> None:
    data = write(tmp_path / "data", {f"{name}/1.png": png(1) for name in names})
    assert read_layout(data).split_folders == {}


def test_case_7_a_linked_split_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"big/cat/1.png": png(1), "set/train/cat/1.png": png(1)})
    (tmp_path / "set" / "test").symlink_to(tmp_path / "big")
    with pytest.raises(GraftError, match="test is a link to a folder"):
        read_layout(tmp_path / "set")
