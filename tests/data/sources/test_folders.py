"""Folders and archives as other people and their machines leave them."""

import io
import os
import re
import struct
import zipfile

import pytest
from photo_folders import png, tree, write
from PIL import Image

from graft.core.errors import GraftError
from graft.data.folder.photographs import LEFTOVER
from graft.data.sources.importing import import_images
from graft.data.sources.readers.folders import UNLABELLED, by_suffix

pytestmark = pytest.mark.usefixtures("quick_dvc")


def image(form, shade=1):
    stream = io.BytesIO()
    Image.new("RGB", (9, 7), (shade, 2, 3)).save(stream, form)
    return stream.getvalue()


def renamed(photos, rename):
    return {rename(*name.split("/")): data for name, data in photos.items()}


ODD_NAMES = {
    "1.jfif": "JPEG",
    "2": "JPEG",
    "3.photo": "JPEG",
    "4.jpg_large": "JPEG",
    "5.JPG~": "PNG",
    "6.webp2": "WEBP",
    "7.avif": "AVIF",
    "8.jp2": "JPEG2000",
    "9.2024": "TIFF",
    "10.download": "GIF",
}


@pytest.mark.parametrize("packed", [False, True])
def test_case_1_photographs_are_known_by_their_first_bytes_whatever_they_are_called(packed, project, photos, tmp_path):
    odd = {f"cat/{name}": image(form, number) for number, (name, form) in enumerate(ODD_NAMES.items())}
    others = {"cat/a.cr2": image("TIFF"), "cat/a.xml": b"<a/>", "cat/4.xyz": b"x", "dog/README": b"x"}
    source = write(tmp_path / "pets", {**photos, **odd, **others})
    if packed:
        source = tmp_path / "pets.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for name, data in {**photos, **odd, **others}.items():
                archive.writestr(name, data)
    imported = import_images(project, source)
    assert imported.counts[""] == {"cat": 3 + len(odd), "dog": 3}
    assert imported.left_out == dict.fromkeys(others, "")
    assert by_suffix(imported.left_out) == "1 .xyz, 1 .cr2, 1 .xml, 1 without suffix"


@pytest.mark.parametrize("names", ["{}.npy", "{}.jxl", "{}.cr2", "x{}"])
def test_case_1_a_class_that_loses_most_of_its_files_is_an_error(names, project, photos, tmp_path):
    lost = {f"bird/{names.format(number)}": b"no image" for number in range(9, 18)}
    with pytest.raises(GraftError, match="The class 'bird' would lose most of its files: 9 .* and 0 are"):
        import_images(project, write(tmp_path / "pets", {**photos, **lost}))


def test_case_1_what_lies_beside_an_image_and_is_called_as_it_costs_no_class(project, photos, tmp_path):
    beside = {f"{name}.npy": b"x" for name in photos} | {name.replace(".png", ".aae"): b"x" for name in photos}
    imported = import_images(project, write(tmp_path / "pets", {**photos, **beside}))
    assert tree(project.data) == photos
    assert set(imported.left_out) == set(beside)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "folder",
    [
        "$RECYCLE.BIN",
        "@eaDir",
        "#recycle",
        "System Volume Information",
        "lost+found",
        "__MACOSX",
        ".Trash-1000",
        "@Recycle",
        "#snapshot",
        "FOUND.000",
        "LOST.DIR",
        ".thumbnails",
        "Network Trash Folder",
        "__pycache__",
    ],
)
def test_case_10_what_systems_leave_behind_is_passed_over_and_said(folder, packed, project, photos, tmp_path):
    left = {f"{folder}/S-1-5/1.png": png(400), f"cat/{folder}/0.png/THUMB_M.jpg": png(401), "dog/Thumbs.db": b"x"}
    source = write(tmp_path / "pets", {**photos, **left})
    if packed:
        source = tmp_path / "pets.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for name, data in {**photos, **left}.items():
                archive.writestr(name, data)
    imported = import_images(project, source)
    assert tree(project.data) == photos
    assert imported.left_out == dict.fromkeys([folder, f"cat/{folder}", "dog/Thumbs.db"], LEFTOVER)


SPLITS = {
    "seg": ("seg_train", "seg_test"),
    "sets": ("training_set", "test_set"),
    "dev": ("Train", "Dev"),
    "capitals": ("TRAIN", "VALIDATION"),
    "blanks": ("Training Data", "Test Data"),
    "joined": ("trainset", "testset"),
    "years": ("train2017", "val2017"),
    "shared": ("flowers-train", "flowers-test"),
}


@pytest.mark.parametrize("case", SPLITS)
@pytest.mark.parametrize("again", [False, True])
def test_case_7_splits_are_recognised_by_their_names(case, again, project, photos, tmp_path):
    train, other = SPLITS[case]
    files = renamed(photos, lambda *parts: "/".join((train, *parts)))
    files |= {f"{other}/{name}": data[::-1] for name, data in photos.items()}
    given = {f"{name.split('/')[0]}/{name}": data for name, data in files.items()} if again else files
    imported = import_images(project, write(tmp_path / "pets", given))
    assert tree(project.data) == files
    assert imported.counts["train"] == {"cat": 3, "dog": 3}
    assert list(imported.counts) == ["train", "test" if "est" in other else "val"]


@pytest.mark.parametrize("folder", ["seg_pred", "seg_pred/seg_pred", "unlabeled", "predictions"])
def test_case_7_a_folder_of_images_that_nobody_has_labelled_is_left_out(folder, project, photos, tmp_path):
    files = {
        f"seg_{split}/{name}": data + split.encode() for split in ("train", "test") for name, data in photos.items()
    }
    files |= {f"{folder}/{number}.png": png(500 + number) for number in range(4)}
    imported = import_images(project, write(tmp_path / "pets", files))
    assert imported.counts == {"train": {"cat": 3, "dog": 3}, "test": {"cat": 3, "dog": 3}}
    assert imported.left_out == {f"{folder}/{number}.png": UNLABELLED for number in range(4)}


@pytest.mark.parametrize("top", ["", "archive/"])
def test_case_7_a_test_folder_without_classes_is_left_out_and_train_is_the_data(top, project, photos, tmp_path):
    files = {f"{top}train/{name}": data for name, data in photos.items()}
    files |= {f"{top}test/{number}.png": png(500 + number) for number in range(9)}
    imported = import_images(project, write(tmp_path / "pets", files))
    assert tree(project.data) == photos
    assert by_suffix(imported.left_out) == "9 .png"
    assert set(imported.left_out.values()) == {UNLABELLED}


def test_case_7_splits_inside_of_each_class_come_first(project, photos, tmp_path):
    files = {}
    for name, data in photos.items():
        label, file = name.split("/")
        files |= {f"{label}/train/{file}": data, f"{label}/Test/{file}": data[::-1]}
    imported = import_images(project, write(tmp_path / "pets", files))
    assert imported.counts == {"train": {"cat": 3, "dog": 3}, "test": {"cat": 3, "dog": 3}}


@pytest.mark.parametrize(
    "files",
    [
        {"train/1.png": png(1), "train/2.png": png(2), "test/3.png": png(3)},
        {"training_set/1.png": png(1), "test_set/3.png": png(3)},
        {"train/images/1.png": png(1), "valid/images/3.png": png(3)},
    ],
)
def test_case_7_splits_without_classes_are_refused(files, project, tmp_path):
    with pytest.raises(GraftError, match="in a folder named after it"):
        import_images(project, write(tmp_path / "pets", files))


def old_zip(path, files, encoding, extra=lambda name: b""):
    """A zip as Explorer and older archivers write it: names in ``encoding``, and the flag of UTF-8 not set."""
    body, directory = bytearray(), bytearray()
    for name, data in files.items():
        raw, field = name.encode(encoding), extra(name)
        fixed = (zipfile.crc32(data), len(data), len(data), len(raw))
        entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, *fixed, len(field), 0, 0, 0, 0, len(body))
        directory += entry + raw + field
        body += struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, *fixed, 0) + raw + data
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, len(files), len(files), len(directory), len(body), 0)
    path.write_bytes(bytes(body + directory) + end)
    return path


def in_japanese(photos):
    return {name.replace("cat", "猫表").replace("dog", "ソ犬"): data for name, data in photos.items()}


def test_case_8_names_in_utf_8_without_the_flag_are_read(project, photos, tmp_path):
    files = in_japanese(photos)
    import_images(project, old_zip(tmp_path / "pets.zip", files, "utf-8"))
    assert tree(project.data) == files


@pytest.mark.parametrize(
    ("encoding", "cat", "dog"),
    [
        ("gbk", "猫", "狗"),
        ("shift_jis", "猫表", "ソ犬"),
        ("big5", "貓功", "狗"),
        ("euc_kr", "고양이", "개"),
        ("cp850", "Kätzchen", "Hündchen"),
        ("cp1252", "Kätzchen", "Hündchen"),
        ("cp866", "кот", "пёс"),
    ],
)
def test_case_8_names_in_another_encoding_are_refused_with_how_they_would_read(
    encoding, cat, dog, project, photos, tmp_path
):
    files = {name.replace("cat", cat).replace("dog", dog): data for name, data in photos.items()}
    source = old_zip(tmp_path / "pets.zip", files, encoding)
    with pytest.raises(GraftError, match=f"it reads .*{encoding}[^']* '({cat}|{dog})/0.png'.*--encoding"):
        import_images(project, source)
    import_images(project, source, encoding=encoding)
    assert tree(project.data) == files


def test_case_8_a_unicode_path_beside_the_name_is_read(project, photos, tmp_path):
    def extra(name):
        written = struct.pack("<BI", 1, zipfile.crc32(name.encode("shift_jis"))) + name.encode()
        return struct.pack("<HH", 0x7075, len(written)) + written

    files = in_japanese(photos)
    import_images(project, old_zip(tmp_path / "pets.zip", files, "shift_jis", extra))
    assert tree(project.data) == files


@pytest.mark.parametrize("encoding", ["klingon", "base64"])
def test_case_8_an_encoding_that_is_none(encoding, project, photos, tmp_path):
    with pytest.raises(GraftError, match=f"There is no encoding '{encoding}'"):
        import_images(project, old_zip(tmp_path / "pets.zip", in_japanese(photos), "gbk"), encoding=encoding)


def test_case_8_names_on_the_disk_and_in_a_tar_are_read_in_the_encoding_too(project, photos, tmp_path):
    import tarfile

    files = in_japanese(photos)
    with tarfile.open(tmp_path / "pets.tar", "w", encoding="shift_jis", format=tarfile.GNU_FORMAT) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    with pytest.raises(GraftError, match=re.escape("as shift_jis '猫表/0.png'")):
        import_images(project, tmp_path / "pets.tar")
    import_images(project, tmp_path / "pets.tar", encoding="shift_jis")
    assert tree(project.data) == files
    try:
        for name, data in files.items():
            place = os.path.join(os.fsencode(tmp_path / "pets"), name.encode("shift_jis"))  # noqa: PTH118
            os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120
            with open(place, "wb") as out:  # noqa: PTH123
                out.write(data)
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    import_images(project, tmp_path / "pets", encoding="shift_jis", replace=True)
    assert tree(project.data) == files


def test_case_6_links_into_dvcs_cache_are_read(project, photos, tmp_path):
    """As `cache.type symlink` leaves a data/ that is imported into another project."""
    for number, (name, data) in enumerate(photos.items()):
        kept = (
            write(tmp_path / "shared/files/md5", {f"{number:02x}/{number:030x}": data}) / f"{number:02x}/{number:030x}"
        )
        link = tmp_path / "pets" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(kept)
    assert import_images(project, tmp_path / "pets").left_out == {}
    assert tree(project.data) == photos
