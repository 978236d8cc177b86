"""A3: whatever names a reader takes from an archive, a table or the catalogue, nothing lands outside data/."""

import io
import json
import struct
import tarfile

import pytest
from miniatures import encoded
from photo_folders import png, tree, write
from PIL import Image
from pydantic import TypeAdapter

from graft.core.errors import GraftError
from graft.data.folder import versioning
from graft.data.sources.feeds import Copies
from graft.data.sources.importing import bring_in, import_images
from graft.data.sources.readers import AnyReader

pytestmark = pytest.mark.usefixtures("quick_dvc")

HOSTILE = {
    "up": "../../../../escaped",
    "up within": "a/../../../escaped",
    "absolute": "/tmp/graft-escaped",
    "here": ".",
    "empty part": "a//b",
    "NUL": "a\0b",
    "line end": "a\rb",
    "backslash": "..\\..\\escaped",
    "hidden": ".escaped",
    "very long": "a" * 300,
}
ELSEWHERE = (".", "/tmp/graft-escaped", "a//b")  # as a path, these may be of another machine


def reader(**settings):
    return TypeAdapter(AnyReader).validate_python(settings)


def sheet(count):
    stream = io.BytesIO()
    Image.new("RGB", (4, count)).save(stream, "PNG")
    return stream.getvalue()


def birds(name):
    files = {
        "images.txt": b"1 a/x.jpg\n2 b/y.jpg\n",
        "image_class_labels.txt": b"1 1\n2 2\n",
        "classes.txt": f"1 {name}\n2 b\n".encode(),
        "train_test_split.txt": b"1 1\n2 0\n",
        "images/a/x.jpg": encoded(1, "JPEG"),
        "images/b/y.jpg": encoded(2, "JPEG"),
    }
    return files, reader(kind="birds"), ()


def folders(name):
    return ({"a/x/1.png": png(1), "b/y/2.png": png(2)}, reader(kind="folders", folders={"a": name, "b": "b"}), ())


def idx(name):
    images = struct.pack(">IIII", 0x803, 2, 2, 2) + bytes(8)
    labels = struct.pack(">II", 0x801, 2) + bytes([0, 1])
    names = {"train": ("ti", "tl"), "test": ("si", "sl")}
    return ({"ti": images, "tl": labels, "si": images, "sl": labels}, reader(kind="idx", files=names), [name, "b"])


def records(name):
    content = bytes([0, *range(12), 1, *range(12)])
    made = reader(kind="records", side=2, files={"train": ["1.bin"], "test": ["2.bin"]})
    return {"1.bin": content, "2.bin": content}, made, [name, "b"]


def sheets(name):
    parts = {split: {"sheets": [f"{split}.png"], "labels": f"{split}.json"} for split in ("train", "test")}
    files = {f"{split}.png": sheet(2) for split in parts}
    files |= {f"{split}.json": json.dumps([0, 1]).encode() for split in parts}
    return files, reader(kind="sheets", splits=parts), [name, "b"]


def signs(name):
    files = {"Train/00000/1.png": png(1), "Train/00001/2.png": png(2)}
    return files, reader(kind="signs", table="t.csv"), [name, "b"]


def table(name):
    files = {"labels.csv": b"x/1.png 0\nx/2.png 1\n", "x/1.png": png(1), "x/2.png": png(2)}
    return (files, reader(kind="table", table="labels.csv", columns=["path", "label"], threshold=0.5), [name, "b"])


READERS = [birds, folders, idx, records, sheets, signs, table]


def refused(project, tmp_path, act):
    """What ``act`` raises; nothing may have been written anywhere."""
    before = tree(tmp_path)
    with pytest.raises(GraftError) as caught:
        act()
    after = {name: data for name, data in tree(tmp_path).items() if not name.endswith(".lock")}
    assert after == before
    assert not versioning.pointer_file(project).exists()
    return str(caught.value)


@pytest.mark.parametrize("make", READERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", [name for name in HOSTILE.values() if name != "a\rb"])  # ends a line of a table
def test_a3_no_reader_takes_a_class_out_of_data(make, name, project, tmp_path):
    files, made, classes = make(name)
    source = write(tmp_path / "source", files)
    feed = Copies({source: ""}, made, classes)
    refused(project, tmp_path, lambda: bring_in(project, feed, {"dataset": "x", "source": "source"}))


@pytest.mark.parametrize("make", READERS, ids=lambda make: make.__name__)
def test_every_reader_takes_an_honest_name(make, project, tmp_path):
    files, made, classes = make("Zoë & Co")
    feed = Copies({write(tmp_path / "source", files): ""}, made, classes)
    bring_in(project, feed, {"dataset": "x", "source": "source"})
    assert any("Zoë & Co" in name for name in tree(project.data))


@pytest.mark.parametrize(
    "column, name",
    [
        (c, name)
        for c in ("label", "path", "split")
        for name in HOSTILE.values()
        if c != "path" or name not in ELSEWHERE
    ],
)
def test_a3_no_table_takes_an_image_out_of_data(column, name, project, tmp_path):
    cells = {"label": "a", "path": "1.png", "split": "train"}
    cells[column] = f"{name}/1.png" if column == "path" else name
    rows = f'"{cells["path"]}","{cells["label"]}","{cells["split"]}"\n2.png,b,test\n'
    files = {"t.csv": f"path,label,split\n{rows}".encode(), "1.png": png(1), "2.png": png(2)}
    source = write(tmp_path / "source", files)
    refused(project, tmp_path, lambda: import_images(project, source / "t.csv"))


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a3_a_path_of_another_machine_finds_what_lies_below_the_tables_folder_alone(name, project, tmp_path):
    files = {"t.csv": f"path,label\n{name}/1.png,a\n2.png,b\n".encode(), "1.png": png(1), "2.png": png(2)}
    import_images(project, write(tmp_path / "source", files) / "t.csv")
    assert tree(project.data) == {"a/1.png": png(1), "b/2.png": png(2)}


def test_a3_a_group_with_an_odd_name_becomes_one_folder(project, tmp_path):
    rows = "".join(f'{i}.png,{label},"{"../" * 9}{i}"\n' for i, label in enumerate("ab"))
    files = {"t.csv": f"path,label,group\n{rows}".encode(), "0.png": png(1), "1.png": png(2)}
    import_images(project, write(tmp_path / "source", files) / "t.csv")
    assert sorted(name.count("/") for name in tree(project.data)) == [2, 2]


@pytest.mark.parametrize("name", [n for n in HOSTILE.values() if n not in (".", ".escaped", "a//b", "a\0b")])
def test_a3_no_archive_takes_an_image_out_of_data(name, project, tmp_path):
    path = tmp_path / "pets.tar"
    with tarfile.open(path, "w") as archive:
        for member in (f"{name}/1.png", "b/2.png"):
            info = tarfile.TarInfo(member)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
    refused(project, tmp_path, lambda: import_images(project, path))


@pytest.mark.parametrize("pair", [("Straße", "STRASSE"), ("é", "e\N{COMBINING ACUTE ACCENT}"), ("Cat", "cat")])
def test_a3_names_that_are_one_on_some_systems_are_refused(pair, project, tmp_path):
    source = write(tmp_path / "pets", {f"{pair[0]}/1.png": png(1), f"{pair[1]}/2.png": png(2)})
    if len(tree(source)) < 2:
        pytest.skip("needs a file system that tells them apart")
    message = refused(project, tmp_path, lambda: import_images(project, source))
    assert "differ only by case or by how an accent is written" in message
