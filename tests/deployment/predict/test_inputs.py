"""Files, folders, patterns and archives: each photograph once, in order, and what is wrong with it in its place."""

import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from graft.bundle.images import UnreadableImageError
from graft.core.errors import GraftError
from graft.deployment.predict import inputs
from graft.deployment.predict.inputs import find_photographs

IN_ORDER = ["a/1.png", "a/10.PNG", "a/broken.jpg", "b/2.png", "c/d/3.png"]


def names(*texts: object) -> list[str]:
    found = [name for some in find_photographs([str(text) for text in texts]) for name in some.names()]
    read = [one.name for some in find_photographs([str(text) for text in texts]) for one in some.read()]
    assert found == read
    return found


def test_a_folder_is_all_below_it_in_order(photos: Path) -> None:
    assert names(photos) == [f"{photos}/{name}" for name in IN_ORDER]


def test_names_stay_as_they_were_given(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    assert names("photos") == [f"photos/{name}" for name in IN_ORDER]
    assert names("photos/a/../b", "./photos/a/1.png") == ["photos/a/../b/2.png", "photos/a/1.png"]


def test_a_photograph_is_taken_once(photos: Path) -> None:
    one = photos / "a" / "1.png"
    assert names(one, photos, one, photos / "b", f"{photos}/*/*.png") == [
        str(one),
        *(f"{photos}/{name}" for name in IN_ORDER[1:]),
    ]
    assert names(f"{photos}/a/*", photos / "a") == [f"{photos}/{name}" for name in IN_ORDER[:3]]


def test_patterns_mean_what_a_shell_would_name_but_no_notes(photos: Path) -> None:
    assert names(f"{photos}/**/*.png") == [f"{photos}/{name}" for name in ("a/1.png", "b/2.png", "c/d/3.png")]
    assert names(f"{photos}/[ab]/*") == [f"{photos}/{name}" for name in IN_ORDER[:4]]
    assert names(f"{photos}/*") == [f"{photos}/{name}" for name in IN_ORDER]


def test_a_file_that_was_named_is_taken_whatever_it_is_called(photos: Path) -> None:
    assert names(photos / "a" / "notes.txt") == [f"{photos}/a/notes.txt"]


@pytest.mark.parametrize("text", ["nowhere", "nowhere/*.png", "photos/*.gif"])
def test_what_is_not_there_is_said_before_any_work(photos: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(photos.parent)
    with pytest.raises(GraftError, match="There is no"):
        find_photographs([text])


def test_a_folder_without_images_is_said(photos: Path) -> None:
    (photos / "empty").mkdir()
    with pytest.raises(GraftError, match=r"empty holds no images"):
        names(photos / "empty")


def pack(photos: Path, form: str) -> Path:
    return Path(shutil.make_archive(str(photos.parent / "packed"), form, photos.parent, "photos"))


@pytest.mark.parametrize("form", ["zip", "tar", "gztar", "xztar"])
def test_archives_are_read_without_unpacking(photos: Path, form: str) -> None:
    archive = pack(photos, form)
    before = set(photos.parent.rglob("*"))
    assert sorted(names(archive)) == [f"{archive}/photos/{name}" for name in IN_ORDER]
    (some,) = find_photographs([str(archive)])
    data = {one.name: one.read() for one in some.read(lambda name, key: name.endswith("2.png"))}
    assert data == {f"{archive}/photos/b/2.png": (photos / "b" / "2.png").read_bytes()}
    assert set(photos.parent.rglob("*")) == before


def read_all(path: Path) -> dict[str, str]:
    """By name, the problem of each, or ``""``."""
    (some,) = find_photographs([str(path)])
    problems = {}
    for one in some.read():
        try:
            one.read()
            problems[one.name] = ""
        except UnreadableImageError as error:
            problems[one.name] = str(error)
    return problems


def test_a_damaged_member_stops_no_other(photos: Path, tmp_path: Path) -> None:
    archive = tmp_path / "damaged.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for name, member in (("1.png", "a/1.png"), ("2.png", "b/2.png"), ("3.png", "c/d/3.png")):
            made.writestr(name, (photos / member).read_bytes())
    data = bytearray(archive.read_bytes())
    data[data.find((photos / "b" / "2.png").read_bytes()) + 20] ^= 1
    archive.write_bytes(bytes(data))
    problems = read_all(archive)
    assert list(problems) == [f"{archive}/{name}" for name in ("1.png", "2.png", "3.png")]
    assert [bool(problem) for problem in problems.values()] == [False, True, False]
    assert "damaged" in problems[f"{archive}/2.png"]


def test_an_archive_that_is_cut_off_is_one_row(photos: Path) -> None:
    archive = pack(photos, "gztar")
    archive.write_bytes(archive.read_bytes()[:-50])
    assert names(archive) == [str(archive)]
    problems = read_all(archive)
    assert "damaged or cut off" in problems[str(archive)]


def test_a_member_that_leads_out_is_not_followed(photos: Path, tmp_path: Path) -> None:
    archive = tmp_path / "out.tar"
    with tarfile.open(archive, "w") as made:
        made.add(photos / "b" / "2.png", "../2.png")
    problems = read_all(archive)
    assert list(problems) == [str(archive)]
    assert "outside the folder" in problems[str(archive)]


def test_what_is_too_large_is_not_read(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_BYTES", 10)
    assert all("too many for a photograph" in problem for problem in read_all(photos).values())
    assert all("too many for a photograph" in problem for problem in read_all(pack(photos, "zip")).values())


def test_a_pipe_and_a_file_without_rights_are_problems(photos: Path) -> None:
    os.mkfifo(photos / "b" / "pipe.png")
    (photos / "b" / "gone.png").symlink_to("nowhere")
    problems = read_all(photos / "b")
    assert problems[f"{photos}/b/pipe.png"] == "not a file"
    assert problems[f"{photos}/b/gone.png"] == "no such file or directory"


def keys(*texts: object) -> list[str]:
    return [one.key for some in find_photographs([str(text) for text in texts]) for one in some.read()]


def test_b15_keys_name_files_and_not_words(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "elsewhere" / "photos"
    shutil.copytree(photos, other)
    found = []
    for folder in (photos, other):
        monkeypatch.chdir(folder.parent)
        found.append(keys("photos"))
        assert found[-1] == keys(folder) == keys("photos/../photos")
    assert not set(found[0]) & set(found[1])
    assert len(set(found[0])) == len(IN_ORDER)


@pytest.mark.parametrize("packed", [False, True])
def test_b15_a_file_that_changed_has_another_key(photos: Path, packed: bool) -> None:
    path = pack(photos, "zip") if packed else photos / "b" / "2.png"
    before, status = keys(path), path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as programs do that copy
    assert not set(before) & set(keys(path))


def test_members_of_one_name_have_keys_of_their_own(photos: Path, tmp_path: Path) -> None:
    archive = tmp_path / "twice.tar"
    with tarfile.open(archive, "w") as made:
        for member in ("a/1.png", "b/2.png"):
            made.add(photos / member, "same.png")
    (some,) = find_photographs([str(archive)])
    found = [(one.key, one.read()) for one in some.read()]
    assert [data for _, data in found] == [(photos / name).read_bytes() for name in ("a/1.png", "b/2.png")]
    assert len({key for key, _ in found}) == 2
    (second,) = some.read(lambda name, key: key == found[1][0])
    assert second.read() == found[1][1]
