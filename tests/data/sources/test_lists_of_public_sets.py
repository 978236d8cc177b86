"""Lists and tables that public data sets and labelling tools write beside images, one miniature each."""

import io
import json
import re

import numpy as np
import pytest
from photo_folders import png, write
from scipy.io import savemat

from graft.core.errors import GraftError
from graft.data.sources.importing import import_images

pytestmark = pytest.mark.usefixtures("quick_dvc")

NUMBERS = range(12)
LABELS = [("cat", "dog")[i % 2] for i in NUMBERS]
FLAT = {f"images/{i:03}.png": png(i) for i in NUMBERS}
FOLDERS = {f"images/{label}/{i:03}.png": png(i) for i, label in enumerate(LABELS)}
ALL = {"": {"cat": 6, "dog": 6}}
SPLIT = {"train": {"cat": 4, "dog": 4}, "test": {"cat": 2, "dog": 2}}


def lines(form, numbers=NUMBERS, header=""):
    rows = [form.format(i=i, label=LABELS[i], n=i % 2, m=1 - i % 2, one=1 + i % 2) for i in numbers]
    return "\n".join([*([header] if header else []), *rows, ""]).encode()


def mat(**arrays):
    stream = io.BytesIO()
    savemat(stream, arrays)
    return stream.getvalue()


def both(name, form, suffix=".txt"):
    return {
        name.format("train") + suffix: lines(form, range(8)),
        name.format("test") + suffix: lines(form, range(8, 12)),
    }


def structs(numbers, **more):
    rows = [(f"{i:03}.png", 1 + i % 2, *(of(i) for of in more.values())) for i in numbers]
    return np.array(rows, dtype=[("fname", "O"), ("class", "O"), *((name, "O") for name in more)])


PETS = {f"images/{'Abyssinian' if i % 2 else 'great_pyrenees'}_{i}.png": png(i) for i in NUMBERS}
PET_ROWS = {i: f"{name[7:-4]} {1 + i % 2} {i % 2} 1" for i, name in enumerate(PETS)}


def pet_list(numbers, header=""):
    return "\n".join([header, *(PET_ROWS[i] for i in numbers)]).strip().encode()


STUDIO = [
    {
        "id": i,
        "data": {"image": f"/data/upload/1/0a1b2c3d-{i:03}.png"},
        "annotations": [{"result": [{"type": "choices", "value": {"choices": [LABELS[i]]}}]}],
    }
    for i in NUMBERS
]
DATUMARO = {
    "categories": {"label": {"labels": [{"name": "cat"}, {"name": "dog"}]}},
    "items": [
        {"id": f"{i:03}", "annotations": [{"type": "label", "label_id": i % 2}], "image": {"path": f"{i:03}.png"}}
        for i in NUMBERS
    ],
}
BIRDS = {
    "images.txt": b"".join(b"%d %s\n" % (i, name[7:].encode()) for i, name in enumerate(FOLDERS)),
    "image_class_labels.txt": lines("{i} {one}"),
    "classes.txt": b"1 cat\n2 dog\n",
    "train_test_split.txt": b"".join(b"%d %d\n" % (i, i < 8) for i in NUMBERS),
}
WNIDS = ("n02123045 tabby, tabby cat", "n02084071 dog")
# The files, and what they come to.
SETS = {
    "food 101": (FOLDERS | both("meta/{}", "{label}/{i:03}") | {"meta/classes.txt": b"cat\ndog\n"}, SPLIT),
    "food 101, json": (
        FOLDERS
        | {
            f"meta/{split}.json": json.dumps(
                {name: [f"{name}/{i:03}" for i in part if LABELS[i] == name] for name in ("cat", "dog")}
            ).encode()
            for split, part in (("train", range(8)), ("test", range(8, 12)))
        },
        SPLIT,
    ),
    "blanks in paths": (
        {name.replace("cat", "hot dog"): data for name, data in FOLDERS.items()}
        | {name: data.replace(b"cat", b"hot dog") for name, data in both("{}", "{label}/{i:03}").items()},
        {"train": {"dog": 4, "hot dog": 4}, "test": {"dog": 2, "hot dog": 2}},
    ),
    "train, val and both once more": (
        FOLDERS
        | {"train.txt": lines("{i:03}", range(4)), "val.txt": lines("{i:03}", range(4, 8))}
        | {"trainval.txt": lines("{i:03}", range(8)), "test.txt": lines("{i:03}", range(8, 12))},
        {"train": {"cat": 2, "dog": 2}, "val": {"cat": 2, "dog": 2}, "test": {"cat": 2, "dog": 2}},
    ),
    "names by split in json": (
        FOLDERS
        | {
            "s.json": json.dumps(
                {"train": [f"{i:03}" for i in range(8)], "test": ["008", "009", "010", "011"]}
            ).encode()
        },
        SPLIT,
    ),
    "a column of 0 and 1": (
        FLAT
        | {
            "labels.csv": lines("{i:03},{label},False", range(8), "name,label,is_valid")
            + lines("{i:03},{label},True", range(8, 12))
        },
        {"train": SPLIT["train"], "val": SPLIT["test"]},
    ),
    "flowers 102": (
        {f"jpg/image_{i + 1:05}.png": png(i) for i in NUMBERS}
        | {
            "imagelabels.mat": mat(labels=[[1 + i % 2 for i in NUMBERS]]),
            "setid.mat": mat(trnid=[[1, 2, 3, 4, 5, 6]], valid=[[7, 8]], tstid=[[9, 10, 11, 12]]),
        },
        {"train": {"1": 3, "2": 3}, "val": {"1": 1, "2": 1}, "test": {"1": 2, "2": 2}},
    ),
    "cars": (
        FLAT
        | {
            "devkit/cars_annos.mat": mat(
                annotations=structs(NUMBERS, test=lambda i: int(i > 7)),
                class_names=np.array([["cat", "dog"]], dtype=object),
            )
        },
        SPLIT,
    ),
    "cars, a file for each split": (
        {f"cars_{'test' if i > 7 else 'train'}/{i:03}.png": png(i) for i in NUMBERS}
        | {
            "devkit/cars_meta.mat": mat(class_names=np.array([["cat", "dog"]], dtype=object)),
            "devkit/cars_train_annos.mat": mat(annotations=structs(range(8), bbox_x1=lambda i: i)),
            "devkit/cars_test_annos_withlabels.mat": mat(annotations=structs(range(8, 12), bbox_x1=lambda i: i)),
        },
        SPLIT,
    ),
    "dogs": (
        FOLDERS
        | {
            f"lists/{split}_list.mat": mat(
                file_list=np.array([[f"{LABELS[i]}/{i:03}.png"] for i in part], dtype=object),
                annotation_list=np.array([[f"{LABELS[i]}/{i:03}"] for i in part], dtype=object),
                labels=[[1 + i % 2] for i in part],
            )
            for split, part in (("train", range(8)), ("test", range(8, 12)))
        },
        SPLIT,
    ),
    "caltech 101": (
        {name.replace("images/", "101_ObjectCategories/"): data for name, data in FOLDERS.items()}
        | {"101_ObjectCategories/BACKGROUND_Google/1.png": png(99), "101_ObjectCategories/BACKGROUND_Google/tmp": b"x"},
        {"": {"BACKGROUND_Google": 1, "cat": 6, "dog": 6}},
    ),
    "pets": (
        PETS
        | {
            "annotations/list.txt": pet_list(NUMBERS, "#Image CLASS-ID SPECIES BREED ID"),
            "annotations/trainval.txt": pet_list(range(8)),
            "annotations/test.txt": pet_list(range(8, 12)),
        },
        {"train": {"Abyssinian": 4, "great_pyrenees": 4}, "test": {"Abyssinian": 2, "great_pyrenees": 2}},
    ),
    "birds 200": (FOLDERS | BIRDS, SPLIT),
    "places, a flat val": (
        FLAT | {"val.txt": lines("{i:03}.png {n}"), "categories_places365.txt": b"/a/cat 0\n/a/dog/indoor 1\n"},
        {"": {"cat": 6, "dog_indoor": 6}},
    ),
    "imagenet, a flat val": (
        FLAT | {"val.txt": lines("{i:03}.png {n}"), "synset_words.txt": "\n".join(WNIDS).encode()},
        {"": dict.fromkeys(WNIDS, 6)},
    ),
    "imagenet, train by synset": (
        {f"train/{WNIDS[i % 2][:9]}/{i:03}.png": png(i) for i in range(8)}
        | {f"val/{i:03}.png": png(i) for i in range(8, 12)}
        | {"val.txt": lines("{i:03}.png {n}", range(8, 12)), "synset_words.txt": "\n".join(WNIDS).encode()},
        {"train": {name[:9]: 4 for name in WNIDS}, "val": {name[:9]: 2 for name in WNIDS}},
    ),
    "roboflow": (
        {f"{'valid' if i > 7 else 'train'}/{i:03}.png": png(i) for i in NUMBERS}
        | {
            "train/_classes.csv": lines("{i:03}.png, {m}, {n}", range(8), "filename, cat, dog"),
            "valid/_classes.csv": lines("{i:03}.png, {m}, {n}", range(8, 12), "filename, cat, dog"),
        },
        {"train": SPLIT["train"], "val": SPLIT["test"]},
    ),
    "label studio": (FLAT | {"project-1.json": json.dumps(STUDIO).encode()}, ALL),
    "label studio, csv": (
        FLAT
        | {
            "p.csv": lines(
                "ann,{label},2026-01-01,{i},/data/upload/1/0a1b2c3d-{i:03}.png,3.1",
                header="annotator,choice,created_at,id,image,lead_time",
            )
        },
        ALL,
    ),
    "datumaro": (FLAT | {"annotations/default.json": json.dumps(DATUMARO).encode()}, ALL),
    "cvat, imagenet": (FOLDERS | {"images/synsets.txt": b"cat\ndog\n"}, ALL),
    "imagenet txt": (FLAT | {"synsets.txt": b"cat\ndog\n", "default.txt": lines("{i:03}.png {n}")}, ALL),
    "teachable machine": (
        {f"{label}-samples/{i}.png": png(i) for i, label in enumerate(LABELS)},
        {"": {"cat-samples": 6, "dog-samples": 6}},
    ),
    "automl": (
        FLAT
        | {
            "all.csv": lines("TRAIN,gs://bucket/{i:03}.png,{label}", range(8))
            + lines("TEST,gs://bucket/{i:03}.png,{label}", range(8, 12))
        },
        SPLIT,
    ),
    "sagemaker": (FLAT | {"all.lst": lines("{i}\t{n}\timages/{i:03}.png")}, {"": {"0": 6, "1": 6}}),
}


@pytest.mark.parametrize("case", SETS)
def test_case_7_what_public_sets_and_tools_write_says_classes_and_splits(case, project, tmp_path):
    files, counts = SETS[case]
    assert import_images(project, write(tmp_path / "set", files)).counts == counts


REFUSED = {
    "several labels of an image": (
        FLAT | {"train/_classes.csv": lines("{i:03}.png, 1, {n}, 0", header="filename, cat, dog, owl")},
        "'train/_classes.csv' .* names the images, but it gives .* several classes",
    ),
    "several labels, automl": (FLAT | {"a.csv": lines("TRAIN,gs://b/{i:03}.png,{label},owl")}, "such as cat and owl"),
    "several labels, label studio": (
        FLAT | {"p.json": json.dumps(STUDIO).replace('"dog"', '"dog", "cat"').encode()},
        "'p.json' .* gives 'images/001.png' more than one label",
    ),
    "a bird that is missing": (
        {name: data for name, data in FOLDERS.items() if "003" not in name} | BIRDS,
        "holds no '.*003.png'",
    ),
    "flowers that are missing": (
        {name: data for name, data in FLAT.items() if "003" not in name}
        | {"imagelabels.mat": mat(labels=[[1] * 12]), "setid.mat": mat(trnid=[[1, 2]])},
        "12 labels, and there are 0 images",
    ),
    "a labelling tool's XML": (
        FLAT | {"annotations.xml": b"<annotations/>"},
        "'annotations.xml' says the classes.*Save it as CSV",
    ),
    "matlab 7.3": (
        FLAT | {"labels.mat": b"MATLAB 7.3 MAT-file" + bytes(600)},
        "'labels.mat' says the classes.*Save it as CSV",
    ),
    "faces": (
        {f"{i}_{i % 2}_{i % 3}_2017010915{i:08}.png": png(i) for i in NUMBERS},
        "write a table with the columns path and label",
    ),
    "records": ({"train.tfrecord": b"x" * 40, "val.tfrecord": b"y" * 40}, "TFRecord files, such as .*tfrecord, which"),
    "a spreadsheet": (FLAT | {"labels.xlsx": b"PK\3\4"}, "'labels.xlsx'.*Save it as CSV"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_case_7_what_says_no_class_is_named_with_what_to_do(case, project, tmp_path):
    files, message = REFUSED[case]
    with pytest.raises(GraftError, match=message):
        import_images(project, write(tmp_path / "set", files))


@pytest.mark.parametrize(
    ("lists", "note"),
    [
        (
            {"1/train.txt": range(8), "1/test.txt": range(8, 12), "2/train.txt": range(4, 12)},
            "contradict each other, .*: no split",
        ),
        (
            {"train.txt": range(4), "test.txt": range(4, 6)},
            "test.txt and train.txt name 6 of 12 images: no split is taken",
        ),
    ],
)
def test_case_7_lists_that_make_no_split_of_class_folders_are_said(lists, note, project, tmp_path):
    files = {name: lines("{label}/{i:03}", numbers) for name, numbers in lists.items()}
    imported = import_images(project, write(tmp_path / "set", FOLDERS | files))
    assert imported.counts == ALL
    assert re.search(note, imported.notes[0])
