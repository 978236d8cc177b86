"""Files that are whole or not there."""

from __future__ import annotations

import os
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
