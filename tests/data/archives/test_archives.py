"""Reading folders and archives: what comes out, and what is refused."""

import bz2
import gzip
import io
import lzma
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from graft.core.errors import GraftError
from graft.data.archives.open_archive import open_source

FILES = {"cat/1.png": b"one", "cat/deep/2.png": b"two" * 1000, "dog/3 ü.png": b"three", "README": b""}
LEFTOVERS = {
    "__MACOSX/cat/._1.png": b"fork",
    "cat/.DS_Store": b"x",
    "cat/Thumbs.db": b"x",
    ".git/config": b"x",
    "cat/desktop.ini": b"x",
}


def make_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def make_tar(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def make_folder(path, files):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def everything(path):
    with open_source(path) as source:
        members = source.members()
        read = {member.name: b"".join(chunks) for member, chunks in source.read({member.name for member in members})}
        assert {member.name: member.size for member in members} == {n: len(data) for n, data in read.items()}
        return read


KINDS = {
    "photos.zip": make_zip,
    "photos.whl": make_zip,
    "photos.tar": make_tar,
    "photos.tar.gz": lambda path, files: make_tar(path, files, "w:gz"),
    "photos.tar.xz": lambda path, files: make_tar(path, files, "w:xz"),
    "photos": make_folder,
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_gives_the_same_files(name, tmp_path):
    assert everything(KINDS[name](tmp_path / name, {**FILES, **LEFTOVERS})) == FILES


@pytest.mark.parametrize("name", KINDS)
def test_only_what_is_asked_for_is_read(name, tmp_path):
    with open_source(KINDS[name](tmp_path / name, FILES)) as source:
        assert [member.name for member, _ in source.read({"cat/1.png"})] == ["cat/1.png"]


def test_the_kind_follows_from_the_bytes(tmp_path):
    assert everything(make_zip(tmp_path / "photos.tar.gz", FILES)) == FILES
    assert everything(make_tar(tmp_path / "photos.zip", FILES)) == FILES


def test_a_tar_that_holds_a_zip_is_a_tar(tmp_path):
    inner = make_zip(tmp_path / "inner.zip", FILES).read_bytes()
    assert list(everything(make_tar(tmp_path / "outer.tar", {"inner.zip": inner}))) == ["inner.zip"]


def test_backslashes_of_windows_tools_are_folders(tmp_path):
    assert list(everything(make_zip(tmp_path / "a.zip", {"cat\\1.png": b"x"}))) == ["cat/1.png"]


@pytest.mark.parametrize("name", ["../evil.png", "cat/../../evil.png", "/etc/evil.png", "C:\\evil.png", "..\\evil.png"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_names_that_lead_out_are_refused(make, name, tmp_path):
    if make is make_tar:
        name = name.replace("\\", "/")
    with pytest.raises(GraftError, match=r"outside the folder.*evil|evil.*outside the folder"):
        everything(make(tmp_path / "archive", {"cat/1.png": b"x", name: b"x"}))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind, tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("cat/odd.png")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(GraftError, match=r"'cat/odd.png' is a link or a device"):
        everything(path)


def test_links_in_a_zip_are_refused(tmp_path):
    info = zipfile.ZipInfo("cat/odd.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(GraftError, match=r"'cat/odd.png' is a link or a device"):
        everything(tmp_path / "a.zip")


def test_links_in_a_folder(tmp_path):
    folder = make_folder(tmp_path / "photos", FILES)
    (folder / "cat/same.png").symlink_to(folder / "cat/1.png")
    assert everything(folder)["cat/same.png"] == b"one"
    outside = make_folder(tmp_path / "outside", {"x/secret.png": b"secret"})
    (folder / "cat/out.png").symlink_to(outside / "x/secret.png")
    with pytest.raises(GraftError, match=r"are not followed: 1 \(cat/out.png\)"):
        everything(folder)
    for number in range(4):
        (folder / f"bird{number}").symlink_to(outside / "x")
    with pytest.raises(
        GraftError, match=r"not followed: 5 \(bird0, bird1, bird2, \.\.\.\)\. .*: cp -rL .*/photos COPY\."
    ):
        everything(folder)


def test_a_pipe_in_a_folder_is_refused(tmp_path):
    folder = make_folder(tmp_path / "photos", FILES)
    os.mkfifo(folder / "cat/pipe.png")
    with pytest.raises(GraftError, match=r"'cat/pipe.png' is a link or a device"):
        everything(folder)
    with pytest.raises(GraftError, match="There is no"):
        open_source(folder / "cat/pipe.png")


def test_a_broken_link_in_a_folder(tmp_path):
    folder = make_folder(tmp_path / "photos", FILES)
    (folder / "cat/gone.png").symlink_to(folder / "cat/nowhere.png")
    with pytest.raises(GraftError, match=r"cannot be read: No such file"):
        everything(folder)


@pytest.mark.parametrize("make", [make_zip, make_tar, KINDS["photos.tar.gz"]])
def test_more_than_the_disk_holds_is_refused(make, tmp_path):
    bomb = make(tmp_path / "archive", {f"cat/{i}.png": bytes(500_000) for i in range(4)})
    with pytest.raises(GraftError, match="unpacks to more than the 1 MB"), open_source(bomb, 1_000_000) as source:
        source.members()


@pytest.mark.parametrize("name", [name for name in KINDS if name != "photos"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_cut_off_archive(name, share, tmp_path):
    files = {f"cat/{i}.png": os.urandom(5000) for i in range(20)}
    path = KINDS[name](tmp_path / name, files)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    if name == "photos.tar" and share == 0.95:
        path.write_bytes(data[: 20 * (512 + 5120)])  # between two members, where nothing else looks wrong
    with pytest.raises(GraftError, match="damaged or cut off"):
        everything(path)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "photos"])
def test_a_damaged_archive(name, tmp_path):
    path = KINDS[name](tmp_path / name, {f"cat/{i}.png": os.urandom(3000) for i in range(20)})
    data = bytearray(path.read_bytes())
    # A plain tar has checksums of its headers only.
    middle = 10 * (512 + 3072) + 100 if name == "photos.tar" else len(data) // 2
    data[middle] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(GraftError, match="damaged or cut off"):
        everything(path)


def tar_header(name, size, kind=b"0"):
    """A header as tarfile writes it, but of any size, and of whatever kind."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def blocks(data):
    return data + bytes(-len(data) % 512)


MEMBER = tar_header("cat/1.png", 3) + blocks(b"one")
LONG = 65_536 + 512
ENDLESS_HEADERS = {
    "attributes": tar_header("x", LONG, tarfile.XHDTYPE) + bytes(LONG),
    "attributes of all": tar_header("x", LONG, tarfile.XGLTYPE) + bytes(LONG),
    "long name": tar_header("x", LONG, tarfile.GNUTYPE_LONGNAME) + bytes(LONG),
    "long link": tar_header("x", LONG, tarfile.GNUTYPE_LONGLINK) + bytes(LONG),
    "negative long name": tar_header("x", -1024, tarfile.GNUTYPE_LONGNAME),
    "a thousand in each other": (tar_header("x", 512, tarfile.XHDTYPE) + blocks(b"11 path=abc\n")) * 1000,
    "map of a sparse file": (
        tar_header("x", 512, tarfile.XHDTYPE)
        + blocks(b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n")
        + tar_header("x", LONG)
        + b"9999999\n" + b"1\n" * (LONG // 2)
    ),
}  # fmt: skip


@pytest.mark.parametrize("opener", [open, gzip.open, bz2.open, lzma.open])
@pytest.mark.parametrize("kind", ENDLESS_HEADERS)
@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_a7_headers_of_a_tar_are_bounded_whatever_is_in_them(kind, first, opener, tmp_path):
    path = tmp_path / "a.tar"
    with opener(path, "wb") as stream:
        stream.write((b"" if first else MEMBER) + ENDLESS_HEADERS[kind] + MEMBER + bytes(1024))
    with pytest.raises(GraftError, match=r"a header larger than 64 KiB"):
        everything(path)


def test_a7_a_list_of_members_is_bounded_by_the_size_of_the_file(tmp_path):
    for name, header in {
        "empty.tar.gz": tar_header("cat/1.png", 0),
        "named.tar.gz": tar_header("x", 60_000, tarfile.GNUTYPE_LONGNAME) + blocks(b"a" * 60_000) + tar_header("x", 0),
    }.items():
        with gzip.open(tmp_path / name, "wb") as stream:
            for _ in range(10_000_000 // len(header) + 1):
                stream.write(header)
        with pytest.raises(GraftError, match="lists more files than its size has room for"):
            everything(tmp_path / name)


def test_a7_a_member_of_negative_size_ends(tmp_path):
    (tmp_path / "a.tar").write_bytes(MEMBER + tar_header("cat/2.png", -1024) + bytes(1024))
    with pytest.raises(GraftError, match="a size is negative"):
        everything(tmp_path / "a.tar")


def with_large_dictionary(path):
    """Have an xz file ask for a dictionary of 768 MiB, by the one byte that says so."""
    data = bytearray(path.read_bytes())
    header = data[12 : 12 + 4 * (data[12] + 1)]
    header[header.index(b"\x21\x01") + 2] = 35
    header[-4:] = zlib.crc32(header[:-4]).to_bytes(4, "little")
    data[12 : 12 + len(header)] = header
    path.write_bytes(data)


def test_a7_dictionaries_are_bounded(tmp_path):
    path = make_tar(tmp_path / "a.tar.xz", FILES, "w:xz")
    with_large_dictionary(path)
    with pytest.raises(GraftError, match="Memory usage limit exceeded"):
        everything(path)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("cat/1.png", b"one")
    with pytest.raises(GraftError, match="packed in a way unknown here: LZMA"):
        everything(tmp_path / "a.zip")


def test_an_xz_file_of_several_streams(tmp_path):
    whole = make_tar(tmp_path / "a.tar", FILES).read_bytes()
    parts = [lzma.compress(whole[at : at + 700]) for at in range(0, len(whole), 700)]
    (tmp_path / "a.tar.xz").write_bytes(bytes(8).join(parts) + bytes(4))
    assert everything(tmp_path / "a.tar.xz") == FILES


PEAK = """
import sys
from pathlib import Path
from peak_memory import peak_bytes
from graft.data.archives.open_archive import open_source
from graft.core.errors import GraftError
import graft.data.archives.tar_source
before = peak_bytes()
try:
    with open_source(Path(sys.argv[1])) as source:
        source.members()
except GraftError as error:
    print((peak_bytes() - before) // 1024, error)
"""


def test_a7_a_small_tar_takes_little_memory(tmp_path):
    """300 MB of attributes in 0.3 MB."""
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb") as stream:
        stream.write(tar_header("x", 300_000_000, tarfile.XHDTYPE))
        for _ in range(300):
            stream.write(bytes(1_000_000))
        stream.write(MEMBER + bytes(1024))
    assert path.stat().st_size < 400_000
    run = subprocess.run(
        [sys.executable, "-c", PEAK, path],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    kilobytes, _, error = run.stdout.partition(" ")
    assert "a header larger than 64 KiB" in error
    assert int(kilobytes) < 20_000


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("opener", [open, gzip.open, bz2.open, lzma.open])
def test_long_names_are_read(form, opener, tmp_path):
    name = "cat/" + "ü" * 100 + "/" + "b" * 200 + ".png"
    with opener(tmp_path / "a.tar", "wb") as stream, tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for number in range(3):
            info = tarfile.TarInfo(f"{number}/{name}")
            info.size = 3
            tar.addfile(info, io.BytesIO(b"one"))
    assert everything(tmp_path / "a.tar") == {f"{number}/{name}": b"one" for number in range(3)}


def test_an_encrypted_zip(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"cat/1.png": b"x"})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(GraftError, match="password"):
        everything(path)


def test_case_22_a_page_or_pointer_in_the_place_of_an_archive_is_named(tmp_path):
    path = tmp_path / "photos.zip"
    for data, name in ((b"<!DOCTYPE html><html>", "HTML page"), (b"version https://git-lfs.github.com/spec/v1", "LFS")):
        path.write_bytes(data)
        with pytest.raises(GraftError, match=rf"photos.zip is neither a folder nor an archive .*, but an? .*{name}"):
            open_source(path)


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\3\4 no zip at all", b"\x1f\x8b\x08 no gzip at all"])
def test_a_file_that_is_no_archive(data, tmp_path):
    path = tmp_path / "photos.zip"
    path.write_bytes(data)
    with pytest.raises(GraftError, match=r"neither a folder nor an archive|damaged or cut off"):
        everything(path)


def test_a_name_that_is_not_utf_8(tmp_path):
    with pytest.raises(GraftError, match="not a name in UTF-8"):
        everything(make_tar(tmp_path / "a.tar", {os.fsdecode(b"cat/\xff.png"): b"x"}))


def test_a_missing_path(tmp_path):
    with pytest.raises(GraftError, match=r"There is no .*nowhere"):
        open_source(tmp_path / "nowhere")
