"""Files that are whole or not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from graft.core import files


def test_a_file_is_replaced_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "record.json"
    files.write_file(path, "first")
    with pytest.raises(RuntimeError), files.replaced_file(path) as partial:
        partial.write_text("second, cut off")
        assert partial.suffix == ".json"
        raise RuntimeError
    assert path.read_text() == "first"
    assert [entry.name for entry in path.parent.iterdir()] == ["record.json"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    files.write_file(path, "first")

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "sync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_file(path, "second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_b14_bytes_and_names_are_on_the_disk_before_and_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    replace, fsync = os.replace, os.fsync
    monkeypatch.setattr(Path, "replace", lambda self, to: (calls.append("rename"), replace(self, to))[1])

    def noted(descriptor: int) -> None:
        kind = "folder" if Path(f"/proc/self/fd/{descriptor}").resolve().is_dir() else "file"
        calls.append(kind)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    files.write_file(tmp_path / "record.json", b"bytes")
    assert calls == ["file", "rename", "folder"]


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "below" / "shards"
    with pytest.raises(RuntimeError), files.new_folder(path) as partial:
        (partial / "one").write_text("1")
        raise RuntimeError
    assert not list(path.parent.iterdir())
    with files.new_folder(path) as partial:
        (partial / "one").write_text("1")
    assert (path / "one").read_text() == "1"
    with pytest.raises(OSError), files.new_folder(path) as partial:
        (partial / "two").write_text("2")
    assert [entry.name for entry in path.parent.iterdir()] == ["shards"]


def test_private_files_and_folders(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    files.write_file(secret, "x", private=True)
    assert secret.stat().st_mode & 0o777 == 0o600
    folder = tmp_path / "log"
    folder.mkdir(mode=0o755)
    files.make_private_folder(folder)
    files.make_private_folder(tmp_path / "a" / "b")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_the_hash_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert files.sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    "name", ["字" * 83 + ".json", "🙂" * 60, "a." + "b" * 240 + ".json"], ids=["CJK", "emoji", "stop"]
)
def test_l7_a_name_that_the_disk_takes_can_be_written(tmp_path: Path, name: str) -> None:
    files.write_file(tmp_path / name, "text")
    assert (tmp_path / name).read_text() == "text"
    with files.new_folder(tmp_path / "below" / name) as folder:
        (folder / "file").write_text("text")
    assert (tmp_path / "below" / name / "file").is_file()


def test_a_folder_that_is_replaced_is_there_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its name or, for the time between two renames, beside it."""
    target = tmp_path / "export"
    target.mkdir()
    (target / "old").write_text("old")
    renames: list[set[str]] = []
    rename = Path.rename

    def watched(path: Path, to: Path) -> Path:
        found = rename(path, to)
        renames.append({file.name for file in tmp_path.glob("*/*")})
        return found

    monkeypatch.setattr(Path, "rename", watched)
    with files.new_folder(target, replace=True) as partial:
        (partial / "new").write_text("new")
    assert renames == [{"old", "new"}, {"old", "new"}]
    assert [path.name for path in tmp_path.rglob("*")] == ["export", "new"]


def test_a_folder_that_cannot_be_replaced_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "export"
    target.mkdir()
    (target / "old").write_text("old")
    rename = Path.rename

    def fail(path: Path, to: Path) -> Path:
        if path.name.endswith(".partial"):
            raise OSError("no room")
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="no room"), files.new_folder(target, replace=True):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["export", "old"]


def test_what_killed_writers_left_is_removed_a_day_later(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from graft.core.files import new_folder, replaced_file
folder = Path(sys.argv[1])
with replaced_file(folder / "memory.sqlite") as one, new_folder(folder / "export") as other:
    one.write_text("half")
    (other / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False, timeout=60)
    mine = [tmp_path / ".mine.partial", tmp_path / ".mine-1.partial.txt"]
    for path in mine:
        path.write_text("mine")
    left = set(tmp_path.iterdir())
    assert len(left) == 4
    files.remove_abandoned(tmp_path)
    assert set(tmp_path.iterdir()) == left
    for path in tmp_path.rglob("*"):
        os.utime(path, (0, 0))
    files.write_file(tmp_path / "memory.sqlite", "whole")
    assert set(tmp_path.iterdir()) == {*mine, tmp_path / "memory.sqlite"}


@pytest.mark.parametrize("name", ["data.dvc", "dvc.lock", "record.json"])
def test_what_a_kill_leaves_is_none_of_the_files_that_others_look_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Draw 50 of tests/hard/accidents.py bring_in: DVC reads all that ends in .dvc, and refused to read two."""
    seen: list[Path] = []
    monkeypatch.setattr(files, "sync", seen.append)
    files.write_file(tmp_path / name, "text")
    (partial,) = [path for path in seen if path.parent == tmp_path]
    assert partial.name.startswith(".")
    assert partial.suffix == ".partial"


@pytest.mark.parametrize("text", ["", "torn {", "[1]", "\udcff"])
def test_what_is_no_object_is_read_as_an_empty_one(tmp_path: Path, text: str) -> None:
    file = tmp_path / "file.json"
    assert files.read_object(file) == {}
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    assert files.read_object(file) == {}


def test_an_object_is_read_as_it_is(tmp_path: Path) -> None:
    files.write_file(tmp_path / "file.json", '{"a": [1]}')
    assert files.read_object(tmp_path / "file.json") == {"a": [1]}
