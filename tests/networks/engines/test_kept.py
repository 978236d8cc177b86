"""What is made once and kept: whole or not there, under the name of all that decides it, the oldest going first."""

import os
from pathlib import Path

import pytest

from graft.core.files import folder_bytes
from graft.networks.engines import artifact_cache as kept
from graft.networks.engines.artifact_cache import cached_folder, cached_or_made, is_cached, is_whole, keep, prune_cached


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    (folder / "below").mkdir(parents=True)
    (folder / "one").write_bytes(b"1" * 100)
    (folder / "below" / "two").write_bytes(b"2" * 100)
    return folder


def test_what_is_decided_by_the_same_lies_in_the_same_place(tmp_path: Path) -> None:
    assert cached_folder(tmp_path, {"a": 1, "b": 2}) == cached_folder(tmp_path, {"b": 2, "a": 1})
    assert cached_folder(tmp_path, {"a": 1}) != cached_folder(tmp_path, {"a": 2})


def test_what_is_kept_is_a_copy_with_folders(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kept" / "it"
    assert not is_cached(folder)
    assert not is_whole(folder)
    keep(made, folder)
    assert is_cached(folder)
    assert is_whole(folder)
    assert (folder / "below" / "two").read_bytes() == b"2" * 100
    assert [path.name for path in folder.parent.iterdir()] == ["it"]
    assert made.is_dir()


def damage(folder: Path) -> None:
    (folder / "below" / "two").write_bytes(b"2" * 99 + b"3")


def cut_off(folder: Path) -> None:
    os.truncate(folder / "one", 50)


def rename(folder: Path) -> None:
    (folder / "one").rename(folder / "other")


def add(folder: Path) -> None:
    (folder / "three").write_bytes(b"")


def remove(folder: Path) -> None:
    (folder / "one").unlink()


def unsign(folder: Path) -> None:
    (folder / "sha256").unlink()


@pytest.mark.parametrize("change", [damage, cut_off, rename, add, remove, unsign])
def test_what_is_not_as_it_was_written_is_removed_and_can_be_kept_anew(
    made: Path, tmp_path: Path, change: object
) -> None:
    folder = tmp_path / "kept" / "it"
    keep(made, folder)
    change(folder)  # type: ignore[operator]
    assert not is_whole(folder)
    assert not folder.exists()
    keep(made, folder)
    assert is_whole(folder)


def test_what_another_process_kept_meanwhile_stays(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kept" / "it"
    keep(made, folder)
    damage(made)
    keep(made, folder)
    assert is_whole(folder)
    assert (folder / "below" / "two").read_bytes() == b"2" * 100
    assert [path.name for path in folder.parent.iterdir()] == ["it"]


def test_a_copy_that_fails_leaves_nothing(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path) -> str:
        raise OSError("No space left on device")

    monkeypatch.setattr(kept, "folder_digest", full)
    keep(made, tmp_path / "kept" / "it")
    assert list((tmp_path / "kept").iterdir()) == []


def test_those_used_longest_ago_go_first(made: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "kept" / str(number) for number in range(3)]
    for age, folder in enumerate(folders):
        keep(made, folder)
        os.utime(folder, (1000 + age, 1000 + age))
    assert is_whole(folders[0])  # used now
    size = folder_bytes(folders[0])
    assert prune_cached(tmp_path / "kept", 2 * size) == size
    assert [is_cached(folder) for folder in folders] == [True, False, True]
    prune_cached(tmp_path / "kept", 0, keep=folders[2])
    assert [is_cached(folder) for folder in folders] == [False, False, True]


def test_what_is_not_kept_is_made_once_and_kept(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "one").write_text("1")

    def use(folder: Path) -> str:
        return (folder / "one").read_text()

    kept_in = tmp_path / "kept" / "it"
    assert cached_or_made(kept_in, make, use) == "1"
    assert cached_or_made(kept_in, make, lambda folder: f"{folder.name}: {use(folder)}") == "it: 1"
    assert len(made) == 1
    assert cached_or_made(None, make, use) == "1"
    assert len(made) == 2
    assert not any(folder.exists() for folder in made)


def test_what_goes_away_between_the_look_and_the_use_is_made_anew(tmp_path: Path) -> None:
    kept_in = tmp_path / "kept" / "it"

    def make(folder: Path) -> None:
        (folder / "one").write_text("1")

    def use(folder: Path) -> str:
        if folder == kept_in:
            (folder / "one").unlink()
        return (folder / "one").read_text()

    cached_or_made(kept_in, make, lambda folder: None)
    assert cached_or_made(kept_in, make, use) == "1"


def test_what_fails_with_what_was_made_now_fails(tmp_path: Path) -> None:
    def use(folder: Path) -> None:
        raise RuntimeError("no such operation")

    with pytest.raises(RuntimeError, match="no such operation"):
        cached_or_made(tmp_path / "kept" / "it", lambda folder: None, use)
