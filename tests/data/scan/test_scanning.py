import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from graft.core.params.models import ValidateParams
from graft.data.folder.layout import read_layout
from graft.data.scan import scan_images as scanning
from graft.data.scan.manifest import read_class_folders, read_manifest
from graft.data.scan.scan_images import ScanSummary, scan

Photograph = Callable[..., Path]
DeclaredPng = Callable[[int, int], bytes]

PARAMS = ValidateParams()


def scanned(root: Path, params: ValidateParams = PARAMS) -> pd.DataFrame:
    target = root.parent / "out" / "manifest.parquet"
    scan(read_layout(root), params, target)
    return read_manifest(target)


def problems(root: Path, params: ValidateParams = PARAMS) -> dict[str, str]:
    table = scanned(root, params)
    return dict(zip(table["path"], table["left_out"], strict=True))


def test_a_row_describes_its_file(data: Path) -> None:
    target = data.parent / "manifest.parquet"
    summary = scan(read_layout(data), PARAMS, target)
    table = read_manifest(target)

    contents = {path: (data / path).read_bytes() for path in table["path"]}
    assert summary == ScanSummary(images=24, left_out=0, classes=2, bytes=sum(map(len, contents.values())), opened=24)
    row = table.set_index("path").loc["dog/003.jpg"]
    assert row["label"] == "dog"
    assert row["split"] == ""
    assert (row["width"], row["height"], row["mode"], row["format"]) == (16, 12, "RGB", "JPEG")
    assert row["bytes"] == len(contents["dog/003.jpg"])
    assert row["sha256"] == hashlib.sha256(contents["dog/003.jpg"]).hexdigest()
    assert (table["left_out"] == "").all()


def test_equal_data_gives_equal_bytes_in_file_order(data: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    scan(read_layout(data), PARAMS, first)
    scan(read_layout(data), PARAMS, second)
    assert first.read_bytes() == second.read_bytes()
    assert list(read_manifest(first)["path"]) == sorted(read_manifest(first)["path"])


def test_rows_are_written_in_groups(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scanned(data)
    monkeypatch.setattr(scanning, "ROWS_PER_GROUP", 5)
    pd.testing.assert_frame_equal(scanned(data), whole)


def test_an_official_split_comes_from_the_folders(tmp_path: Path, photograph: Photograph) -> None:
    for part in ("train", "valid", "Testing"):
        photograph(tmp_path / "data" / part / "cat" / "1.png")
    table = scanned(tmp_path / "data").set_index("path")
    assert dict(table["split"]) == {"Testing/cat/1.png": "test", "train/cat/1.png": "train", "valid/cat/1.png": "val"}
    assert set(table["label"]) == {"cat"}


def test_a_group_comes_from_its_folder(tmp_path: Path, photograph: Photograph) -> None:
    names = {
        "train/group=a/group=ann/x/1.png": "ann",
        "train/cat/group=ann%2Fb/group=x/2.png": "ann/b",
        "train/cat/x/group=ü/3.png": "ü",
        "train/cat/group=/4.png": "",
        "train/cat/5.png": "",
        "test/cat/group=x.png": "",
    }
    for seed, name in enumerate(names):
        photograph(tmp_path / "data" / name, seed)
    table = scanned(tmp_path / "data")
    assert dict(zip(table["path"], table["group"], strict=True)) == names


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK", "RGBA"])
def test_every_mode_is_read(data: Path, photograph: Photograph, mode: str) -> None:
    photograph(data / "cat" / "odd.tif", mode=mode)
    row = scanned(data).set_index("path").loc["cat/odd.tif"]
    assert (row["mode"], row["format"], row["left_out"]) == (mode, "TIFF", "")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".bmp", ".webp", ".tif", ".ppm"])
def test_every_format_is_read(data: Path, photograph: Photograph, suffix: str) -> None:
    photograph(data / "cat" / f"odd{suffix}")
    assert problems(data)[f"cat/odd{suffix}"] == ""


def test_a_transparent_png_is_read(data: Path) -> None:
    Image.new("RGBA", (16, 16), (255, 0, 0, 0)).save(data / "cat" / "alpha.png")
    assert problems(data)["cat/alpha.png"] == ""


def test_broken_files_are_listed_with_a_reason(
    data: Path, tmp_path: Path, photograph: Photograph, declared_png: DeclaredPng
) -> None:
    cat = data / "cat"
    (cat / "empty.jpg").touch()
    (cat / "text.jpg").write_text("not a picture at all")
    for name in ("cut.jpg", "cut.png"):
        whole = photograph(tmp_path / name, size=(200, 200)).read_bytes()
        (cat / name).write_bytes(whole[: len(whole) // 2])
    (cat / "bomb.png").write_bytes(declared_png(60_000, 60_000))
    (cat / "large.png").write_bytes(declared_png(12_000, 10_000))
    (cat / "dangling.png").symlink_to(data / "nowhere.png")
    os.mkfifo(cat / "pipe.png")

    found = {path: problem for path, problem in problems(data).items() if problem}
    assert found.pop("cat/bomb.png").startswith("too large: too many pixels")
    assert found == {
        "cat/cut.jpg": "unreadable: the file is truncated or damaged",
        "cat/cut.png": "unreadable: the file is truncated or damaged",
        "cat/dangling.png": "unreadable: cannot be opened: No such file or directory",
        "cat/empty.jpg": "unreadable: the file is empty",
        "cat/large.png": "too large: 12000x10000 is more than 100000000 pixels (validate.max_pixels)",
        "cat/pipe.png": "unreadable: not a regular file",
        "cat/text.jpg": "unreadable: not an image that can be read, but text",
    }


def test_what_is_known_of_a_broken_file_is_kept(data: Path, declared_png: DeclaredPng) -> None:
    (data / "cat" / "large.png").write_bytes(declared_png(40, 40))
    row = scanned(data).set_index("path").loc["cat/large.png"]
    assert (row["width"], row["height"], row["format"]) == (40, 40, "PNG")
    assert len(row["sha256"]) == 64
    assert row["left_out"] == "unreadable: the file is truncated or damaged"


def test_a_small_image_is_left_out_and_described(data: Path, photograph: Photograph) -> None:
    photograph(data / "cat" / "dot.png", size=(1, 1))
    row = scanned(data).set_index("path").loc["cat/dot.png"]
    assert (row["width"], row["height"]) == (1, 1)
    assert row["left_out"] == "too small: 1x1, and validate.min_side_px is 8"


def test_the_pixel_limit_is_the_params(data: Path) -> None:
    limit = ValidateParams(max_pixels=16 * 12 - 1)
    assert set(problems(data, limit).values()) == {"too large: 16x12 is more than 191 pixels (validate.max_pixels)"}


def test_a_file_too_large_for_its_pixels_is_not_read(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "_METADATA_BYTES", 0)
    (data / "cat" / "fat.png").write_bytes(b"x" * 10_000)
    row = scanned(data, ValidateParams(max_pixels=1000)).set_index("path").loc["cat/fat.png"]
    assert row["left_out"] == "too large: 10000 bytes are more than 1000 pixels can need (validate.max_pixels)"
    assert (row["bytes"], row["sha256"]) == (10_000, "")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_a_problem_of_that_file(data: Path) -> None:
    (data / "cat" / "000.png").chmod(0)
    assert problems(data)["cat/000.png"] == "unreadable: cannot be opened: Permission denied"


@pytest.mark.parametrize("name", ["снимок.png", "照片 1.png", 'a b\'s "c",d.png', "$HOME %s {x}.png", "é.PNG"])
def test_names_in_any_script(tmp_path: Path, photograph: Photograph, name: str) -> None:
    photograph(tmp_path / "data" / "犬 и кот" / "deep" / "er" / name)
    table = scanned(tmp_path / "data")
    assert list(table["path"]) == [f"犬 и кот/deep/er/{name}"]
    assert list(table["label"]) == ["犬 и кот"]
    assert list(table["left_out"]) == [""]


def test_a_name_that_is_not_utf_8_is_a_problem_of_that_file(data: Path) -> None:
    source = (data / "cat" / "000.png").read_bytes()
    try:
        with open(os.fsencode(data / "cat") + b"/caf\xe9.png", "wb") as file:  # noqa: PTH123
            file.write(source)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    found = {path: problem for path, problem in problems(data).items() if problem}
    assert found == {"cat/caf\\udce9.png": "unreadable: the file's name, or a folder's, is not valid UTF-8"}


def test_links_out_of_the_root_are_not_followed(data: Path, tmp_path: Path, photograph: Photograph) -> None:
    outside = photograph(tmp_path / "elsewhere" / "secret.png")
    (data / "cat" / "link.png").symlink_to(outside)
    (data / "cat" / "folder").symlink_to(outside.parent)
    found = {path: problem for path, problem in problems(data).items() if "link" in path or "secret" in path}
    assert found == {"cat/link.png": "unreadable: a link that leads out of data/"}


def test_other_files_and_hidden_ones_are_passed_over(data: Path) -> None:
    (data / "cat" / "notes.txt").write_text("about cats")
    (data / "cat" / "._000.png").write_bytes(b"resource fork")
    (data / "cat" / ".cache").mkdir()
    assert len(problems(data)) == 24


def test_class_folders_without_images_are_remembered(data: Path) -> None:
    (data / "bird").mkdir()
    scanned(data)
    assert read_class_folders(data.parent / "out" / "manifest.parquet") == ["bird", "cat", "dog"]


def test_an_empty_folder_gives_an_empty_manifest(tmp_path: Path) -> None:
    (tmp_path / "data" / "cat").mkdir(parents=True)
    table = scanned(tmp_path / "data")
    assert table.empty
    assert table["width"].dtype == "int32"


def test_an_interrupted_scan_leaves_what_was_there(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = data.parent / "out" / "manifest.parquet"
    whole = scanned(data)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(scanning, "open_image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        scan(read_layout(data), PARAMS, target)
    pd.testing.assert_frame_equal(read_manifest(target), whole)
    assert [path.name for path in target.parent.iterdir()] == ["manifest.parquet"]
