"""Layouts in which data sets are really published: tables beside flat folders, lists, archives in archives, Parquet."""

import io
import json
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photo_folders import png, tree, write

from graft.core.errors import GraftError
from graft.data.sources.importing import import_images
from graft.data.sources.readers.folders import LOOSE, UNLABELLED
from graft.data.sources.readers.no_examples import COPY, MASK

pytestmark = pytest.mark.usefixtures("quick_dvc")

FLAT = {f"images/{i:03}.png": png(i) for i in range(12)}
LABELLED = {f"{'dog' if i % 2 else 'cat'}/{i:03}.png": png(i) for i in range(12)}


def zipped(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def lines(form, header=""):
    rows = [form.format(i=i, n=i % 2, m=1 - i % 2, label="dog" if i % 2 else "cat") for i in range(12)]
    return "\n".join([*([header] if header else []), *rows, ""]).encode()


COCO = {
    "images": [{"id": i, "file_name": f"{i:03}.png"} for i in range(12)],
    "categories": [{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}],
    "annotations": [{"image_id": i, "category_id": 3 + i % 2, "bbox": [0, 0, 1, 1]} for i in range(12)],
}
# The table's name and its bytes.
TABLES = {
    "kaggle, ids without suffix": ("labels.csv", lines("{i:03},{label}", "id,breed")),
    "kaggle, capitals": ("train.csv", lines("{i:03}.png,{label}", "Image,Id")),
    "fastai": ("labels.csv", lines("images/{i:03}.png,{label},False", "name,label,is_valid")),
    "a column for each class": ("truth.csv", lines("{i:03},{m}.0,{n}.0", "image,cat,dog")),
    "boxes": ("Train.csv", lines("9,7,1,1,5,5,{label},images/{i:03}.png", "Width,Height,X1,Y1,X2,Y2,ClassId,Path")),
    "windows": ("t.csv", lines("C:\\Users\\ann\\images\\{i:03}.png,{label}", "path,label")),
    "excel": ("t.csv", b"sep=;\r\n" + lines("{i:03}.png;{label}", "file;class").replace(b"\n", b"\r\n")),
    "utf-16": ("t.csv", lines("{i:03}.png\t{label}", "file\tclass").decode().encode("utf-16")),
    "without a header": ("t.csv", lines("images/{i:03}.png,{label}")),
    "a list of labels with blanks, and boxes": ("list.txt", lines("{i:03} {label} 1 2 30 40")),
    "a list": ("list.txt", lines("images/{i:03}.png {label} 1 1")),
    "hugging face, lines": ("images/metadata.jsonl", lines('{{"file_name": "{i:03}.png", "label": "{label}"}}')),
    "hugging face": ("images/metadata.csv", lines("{i:03}.png,{label}", "file_name,label")),
    "coco": ("annotations.json", json.dumps(COCO).encode()),
    "an object": ("labels.json", json.dumps({f"{i:03}.png": "dog" if i % 2 else "cat" for i in range(12)}).encode()),
}


@pytest.mark.parametrize("case", TABLES)
@pytest.mark.parametrize("form", ["folder", "zip", "table"])
def test_case_7_a_table_beside_a_flat_folder_says_the_classes(case, form, project, tmp_path):
    name, data = TABLES[case]
    files = {**FLAT, name: data, "sample_submission.csv": b"id,label\n000,0.5\n"}
    if form == "table" and "/" in name:
        pytest.skip("lies below the images' folder")
    source = write(tmp_path / "set", files) if form != "zip" else write(tmp_path, {"s.zip": zipped(files)}) / "s.zip"
    imported = import_images(project, source / name if form == "table" else source)
    assert tree(project.data) == LABELLED
    assert imported.notes[0].startswith(f"Labels are those of {name.rpartition('/')[2]}")
    assert imported.left_out == {"sample_submission.csv": ""}


def test_case_7_lists_of_train_and_val_are_splits_and_numbers_get_their_names(project, tmp_path):
    lists = {
        "train.txt": b"".join(b"images/%03d.png %d\n" % (i, i % 2) for i in range(8)),
        "val.txt": b"".join(b"images/%03d.png %d\n" % (i, i % 2) for i in range(8, 12)),
        "classes.txt": b"cat\ndog\n",
    }
    imported = import_images(project, write(tmp_path / "set", {**FLAT, **lists}))
    assert imported.counts == {"train": {"cat": 4, "dog": 4}, "val": {"cat": 2, "dog": 2}}


def test_case_7_tables_that_contradict_each_other_take_one_command(project, tmp_path):
    """FGVC-Aircraft: a list for each of variant, family and maker."""
    other = b"".join(b"%03d Boeing 7%d7\n" % (i, i % 3) for i in range(12))
    source = write(tmp_path / "set", {**FLAT, "maker.txt": lines("{i:03} {label}"), "variant.txt": other})
    with pytest.raises(GraftError, match=f"contradict each other.*: graft data import {source}/variant.txt"):
        import_images(project, source)
    imported = import_images(project, source / "variant.txt")
    assert imported.counts == {"": {f"Boeing 7{i}7": 4 for i in range(3)}}


def test_case_7_numbered_parts_are_no_classes(project, tmp_path):
    """HAM10000: images_part_1 and 2 with a table; and folds with classes inside."""
    files = {f"images_part_{1 + i // 6}/{i:03}.png": png(i) for i in range(12)}
    files |= {"meta.csv": lines("{i},{i:03},{label}", "lesion_id,image_id,dx")}
    import_images(project, write(tmp_path / "parts", files))
    assert tree(project.data) == LABELLED
    folds = {f"fold{1 + i // 6}/{name}": data for i, (name, data) in enumerate(LABELLED.items())}
    imported = import_images(project, write(tmp_path / "folds", folds), replace=True)
    assert imported.counts == {"": {"cat": 6, "dog": 6}}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (lines("{i:03}.png,{label},0", "Image Index,Finding,Age"), "none .* known to say the class: Image Index, F.*"),
        (lines("{i:03}.png,{label}", "file,class") + b"000.png,dog\n", "gives 'images/000.png' more than one label.*"),
    ],
)
def test_case_7_a_table_that_names_images_and_not_their_class_is_named(table, message, project, tmp_path):
    source = write(tmp_path / "set", {**FLAT, "entry.csv": table, "devkit/annotations.mat": b"MATLAB 5.0"})
    with pytest.raises(GraftError, match=f"{message}called label, and: graft data import {source}/entry.csv"):
        import_images(project, source)


def test_case_7_a_table_gives_the_classes_of_a_test_folder_without_any(project, tmp_path):
    """GTSRB and Tiny ImageNet: class folders to train on, and a table for the rest; icons of the classes beside."""
    files = {f"Train/{label}/{i}.png": png(50 * label + i) for label in (0, 1, 14) for i in range(12)}
    files |= {f"Test/{i:05}.png": png(900 + i) for i in range(6)} | {"Meta/0.png": png(990), "Meta/14.png": png(991)}
    test = b"Width,ClassId,Path\n" + b"".join(b"9,%d,Test/%05d.png\n" % ((0, 1, 14)[i % 3], i) for i in range(6))
    imported = import_images(project, write(tmp_path / "s", {**files, "Test.csv": test, "Meta.csv": b"Path,ClassId\n"}))
    assert imported.counts == {"train": {"0": 12, "1": 12, "14": 12}, "test": {"0": 2, "1": 2, "14": 2}}
    assert {name for name, why in imported.left_out.items() if why == UNLABELLED} == {"Meta/0.png", "Meta/14.png"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (lines("{i:03},{label}", "id,breed").replace(b"dog", b"gr\xfcn"), r"as cp1252 'grün'.*--encoding"),
        (lines("{i:03},{label}", "id,breed").replace(b"dog", b"n/a"), r"the label 'n/a', which cannot be a folder"),
        (lines("{i:03},{label}", "id,breed") + b"000,dog\n", "does not say|no column 'path'"),
        (lines("9{i:03},{label}", "id,breed"), "no column 'path': its columns are id, breed"),
    ],
)
def test_case_8_a_table_that_does_not_say_it_is_refused_and_data_untouched(table, message, project, tmp_path):
    with pytest.raises(GraftError, match=message):
        import_images(project, write(tmp_path / "set", {**FLAT, "t.csv": table}) / "t.csv")
    assert not project.data.exists()


def test_case_8_a_table_in_another_encoding_is_read_in_it(project, tmp_path):
    table = lines("{i:03},{label}", "id,breed").replace(b"dog", b"gr\xfcn")
    source = write(tmp_path / "set", {**FLAT, "t.csv": table})
    assert import_images(project, source, encoding="cp1252").counts == {"": {"cat": 6, "grün": 6}}


def test_case_7_classes_in_the_names_of_files_take_one_command(project, tmp_path):
    files = {f"train/{label}.{i}.png": png(100 * k + i) for k, label in enumerate(("cat", "big_dog")) for i in range(4)}
    source = write(tmp_path / "pets", {**files, "test1/1.png": png(900)})
    command = rf"\(big_dog 4, cat 4\): graft data import {source} --labels-from-names"
    with pytest.raises(GraftError, match=command):
        import_images(project, source)
    imported = import_images(project, source, labels_from_names=True)
    assert imported.counts == {"": {"big_dog": 4, "cat": 4}}
    assert imported.left_out == {"test1/1.png": "without a class in the name"}
    with pytest.raises(GraftError, match="with the columns path and label: graft data import TABLE"):
        import_images(project, write(tmp_path / "camera", {f"IMG_{i}.png": png(i) for i in range(9)}), replace=True)


def test_case_7_copies_masks_and_pictures_beside_the_classes_are_no_images_of_one(project, photos, tmp_path):
    around = {f"set/{name}": data for name, data in photos.items()} | {f"set/set/{n}": d for n, d in photos.items()}
    imported = import_images(project, write(tmp_path / "twice", around))
    assert tree(project.data) == photos
    assert imported.left_out == {f"set/set/{name}": COPY for name in photos}

    masks = {name.replace(".png", "_mask.png"): png(800 + i) for i, name in enumerate(photos)}
    imported = import_images(project, write(tmp_path / "masks", {**photos, **masks}), replace=True)
    assert tree(project.data) == photos
    assert imported.left_out == dict.fromkeys(masks, MASK)
    folders = {f"{kind}/".join(name.partition("/")[::2]): b"" for name in photos for kind in ("/images", "/masks")}
    folders = {name: png(i) for i, name in enumerate(folders)}
    imported = import_images(project, write(tmp_path / "folders", folders), replace=True)
    assert imported.counts == {"": {"cat": 3, "dog": 3}}

    many = {f"set/data/{label}/{i}.png": png(100 * k + i) for k, label in enumerate(("cat", "dog")) for i in range(6)}
    imported = import_images(project, write(tmp_path / "logo", {**many, "set/logo.png": png(1000)}), replace=True)
    assert imported.counts == {"": {"cat": 6, "dog": 6}}
    assert imported.left_out == {"set/logo.png": LOOSE}
    with pytest.raises(GraftError, match="Move them into the folders of their classes"):
        import_images(project, write(tmp_path / "l", {**photos, "1.png": png(1), "2.png": png(2)}), replace=True)


def test_case_7_classes_that_hold_the_same_folders_are_doubted(project, tmp_path):
    files = {f"{k}/{label}/{i}.png": png(i) for i, k in enumerate(("color", "grey")) for label in ("ok", "scab")}
    imported = import_images(project, write(tmp_path / "leaves", files))
    assert f"if these are the classes, graft data import {tmp_path}/leaves/color --replace" in imported.notes[0]


def test_case_7_a_test_folder_in_one_of_its_own_name_is_left_out(project, photos, tmp_path):
    files = {f"asl_train/asl_train/{name}": data for name, data in photos.items()}
    import_images(project, write(tmp_path / "asl", {**files, "asl_test/asl_test/A_test.png": png(7)}))
    assert tree(project.data) == photos


def tarred(files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


@pytest.mark.parametrize("case", ["zip in zip", "tar in zip", "train and test", "one for each class"])
def test_case_7_archives_inside_are_opened(case, project, photos, tmp_path):
    one = {
        "zip in zip": {"images.zip": zipped({f"set/{name}": data for name, data in photos.items()})},
        "tar in zip": {"set/categories.tar.gz": tarred(photos), "set/outlines.tar": tarred({"a.mat": b"x"})},
        "train and test": {f"{k}.zip": zipped({f"{k}/{n}": d for n, d in photos.items()}) for k in ("train", "test")},
        "one for each class": {
            f"{label}.zip": zipped({name.split("/")[1]: data for name, data in photos.items() if label in name})
            for label in ("cat", "dog")
        },
    }[case]
    if case == "train and test":
        source = write(tmp_path / "set", one)
    else:
        source = write(tmp_path, {"set.zip": zipped({**one, "notes.txt": b"x"})}) / "set.zip"
    imported = import_images(project, source)
    expected = {f"{split}/{name}": data for split in ("train", "test") for name, data in photos.items()}
    assert tree(project.data) == (expected if case == "train and test" else photos)
    assert not any(name.endswith((".zip", ".gz", ".tar")) for name in imported.left_out)
    assert not list(project.state.glob("archives-*"))


def test_case_7_a_broken_archive_inside_is_named(project, tmp_path):
    source = write(tmp_path, {"set.zip": zipped({"train.zip": b"<html>Sign in</html>"})}) / "set.zip"
    with pytest.raises(GraftError, match=r"'train.zip' in .*set.zip is .* but an HTML page"):
        import_images(project, source)


@pytest.mark.parametrize("names", [["cat", "dog"], None])
def test_case_7_images_inside_parquet_files_are_read(names, project, tmp_path):
    features = {"info": {"features": {"label": {"names": names}}}} if names else {}
    for split, rows in (("train", range(8)), ("test", range(8, 12))):
        labels = [i % 2 if names else ("cat", "dog")[i % 2] for i in rows]
        table = pa.table({"image": [{"bytes": png(i), "path": None} for i in rows], "label": labels})
        (tmp_path / "set/data").mkdir(parents=True, exist_ok=True)
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
        pq.write_table(table, tmp_path / f"set/data/{split}-00000-of-00001.parquet")
    imported = import_images(project, tmp_path / "set")
    assert imported.counts == {"train": {"cat": 4, "dog": 4}, "test": {"cat": 2, "dog": 2}}
    assert set(tree(project.data).values()) == {png(i) for i in range(12)}
    one = import_images(project, tmp_path / "set/data/train-00000-of-00001.parquet", replace=True)
    assert one.counts == {"": {"cat": 4, "dog": 4}}


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.xlsx", zipped({"xl/workbook.xml": b"<x/>"}), "is a spreadsheet. Save it as CSV"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(40), "is a 7z archive, which graft does not read. Unpack it"),
        ("a.tar.zst", b"\x28\xb5\x2f\xfd" + bytes(40), "is a Zstandard archive, which graft does not read"),
        ("1.png", png(1), "is one photograph. Name the folder"),
        ("e.zip", zipped({}), "holds no images: it is empty"),
        ("d.zip", zipped({"s/1.dcm": b"x", "s/2.dcm": b"y"}), "holds no images, but 2 .dcm. Convert them"),
        ("flowres", None, "There is no .*flowres. Did you mean 'flowers'"),
    ],
)
def test_case_22_what_is_no_folder_of_images_is_named_with_what_to_do(name, data, message, project, tmp_path):
    (tmp_path / "flowers").mkdir()
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(GraftError, match=message):
        import_images(project, tmp_path / name)
