"""A second scan opens only what is new or changed, and finds the same."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from graft.core.params.models import ValidateParams
from graft.data.folder.layout import read_layout
from graft.data.scan import scan_memory
from graft.data.scan.manifest import read_manifest
from graft.data.scan.scan_images import ScanSummary, scan

Photograph = Callable[..., Path]
PARAMS = ValidateParams()


@pytest.fixture(autouse=True)
def every_file_is_old_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests write files just before they scan them; a negative tick takes them as settled."""
    monkeypatch.setattr(scan_memory, "_TICK_NS", -(10**12))


def remembering(data: Path, params: ValidateParams = PARAMS) -> ScanSummary:
    """A scan with memory, whose manifest is checked against that of a scan without."""
    out = data.parent / "out"
    summary = scan(read_layout(data), params, out / "manifest.parquet", out / "scan.sqlite")
    scan(read_layout(data), params, out / "cold.parquet")
    assert (out / "manifest.parquet").read_bytes() == (out / "cold.parquet").read_bytes()
    assert sorted(path.name for path in out.iterdir()) == ["cold.parquet", "manifest.parquet", "scan.sqlite"]
    return summary


def test_a_second_scan_opens_nothing(data: Path) -> None:
    first, second = remembering(data), remembering(data)
    assert first.opened == first.images == 24
    assert second == ScanSummary(first.images, 0, first.classes, first.bytes, opened=0)


def test_only_new_and_changed_files_are_opened(data: Path, photograph: Photograph) -> None:
    remembering(data)
    photograph(data / "dog" / "new.png")
    changed, removed, *_ = sorted((data / "cat").iterdir())
    changed.write_bytes((data / "dog" / "001.jpg").read_bytes())
    removed.unlink()
    assert remembering(data).opened == 2
    assert remembering(data).opened == 0


def test_a_change_that_keeps_size_and_time_is_seen(data: Path) -> None:
    remembering(data)
    path = data / "dog" / "003.jpg"
    before, changed = path.stat(), bytearray(path.read_bytes())
    changed[-3] ^= 1
    path.write_bytes(changed)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert remembering(data).opened == 1


def test_a_file_of_the_present_moment_is_not_trusted_the_next_time(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_memory, "_TICK_NS", 3600 * 10**9)
    remembering(data)
    assert remembering(data).opened == 24


def test_moved_files_are_hashed_but_not_decoded(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembering(data)
    (data / "dog").rename(data / "wolf")
    out = data.parent / "out"

    def decoded(*_: object) -> None:
        raise AssertionError("a picture was decoded again")

    monkeypatch.setattr("graft.data.scan.scan_images.open_image", decoded)
    shutil.copytree(data / "cat", data / "copy")
    summary = scan(read_layout(data), PARAMS, out / "manifest.parquet", out / "scan.sqlite")
    table = read_manifest(out / "manifest.parquet")
    assert summary.opened == 24  # 12 in a folder of another name, 12 copies
    copies = {"cat": "copy", "copy": "cat"}
    reasons = {
        path: f"two labels: the same bytes as {copies[label]}/{Path(path).name}" if label in copies else ""
        for path, label in zip(table["path"], table["label"], strict=True)
    }
    assert dict(zip(table["path"], table["left_out"], strict=True)) == reasons
    assert summary.left_out == 24
    assert table["label"].value_counts().to_dict() == {"cat": 12, "copy": 12, "wolf": 12}
    assert (table["width"] > 0).all()


def test_broken_files_stay_broken_for_the_same_reason(data: Path) -> None:
    whole = (data / "dog" / "000.jpg").read_bytes()
    (data / "dog" / "000.jpg").write_bytes(whole[: len(whole) // 2])
    (data / "dog" / "empty.jpg").touch()
    (data / "dog" / "dangling.jpg").symlink_to("nowhere.jpg")
    first, second = remembering(data), remembering(data)
    assert first.left_out == second.left_out >= 2
    assert second.opened == 0


def test_another_limit_makes_memory_worthless(data: Path) -> None:
    remembering(data)
    smaller = ValidateParams(max_pixels=100)
    assert remembering(data, smaller).left_out == 24
    assert remembering(data).left_out == 0


@pytest.mark.parametrize("damage", ["garbage", "half", "empty", "facts", "paths"])
def test_a_damaged_memory_is_never_served(data: Path, damage: str) -> None:
    remembering(data)
    path = data.parent / "out" / "scan.sqlite"
    if damage in ("facts", "paths"):
        with sqlite3.connect(path) as database:
            if damage == "facts":
                database.execute("UPDATE pictures SET facts = replace(facts, '\"width\":16', '\"width\":99')")
            else:
                database.execute("UPDATE files SET sha256 = (SELECT max(sha256) FROM files)")
        database.close()
    else:
        content = path.read_bytes()
        path.write_bytes({"garbage": b"no database", "half": content[: len(content) // 2], "empty": b""}[damage])
    assert remembering(data).opened > 0
    assert remembering(data).opened == 0


def test_a_scan_that_stops_leaves_the_memory_as_it_was(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembering(data)
    out = data.parent / "out"
    before = (out / "scan.sqlite").read_bytes()
    (data / "dog" / "new.jpg").write_bytes((data / "dog" / "001.jpg").read_bytes() + b"\0")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("graft.data.scan.scan_images.open_image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        scan(read_layout(data), PARAMS, out / "manifest.parquet", out / "scan.sqlite")
    assert (out / "scan.sqlite").read_bytes() == before
    assert not [path for path in out.iterdir() if "partial" in path.name]


def test_two_scans_at_once_do_no_harm(data: Path) -> None:
    remembering(data)
    path = data.parent / "out" / "scan.sqlite"
    code = "of another scan"
    with scan_memory.scan_memory(path, code):
        assert scan(read_layout(data), PARAMS, path.with_name("manifest.parquet"), path).opened == 0
    # The one that ended last has the last word; it knew nothing, so the next scan reads all again.
    assert remembering(data).opened == 24
