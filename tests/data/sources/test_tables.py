"""Importing by a CSV or Parquet table: what becomes of the rows, and how a wrong one is named."""

import re

import pandas as pd
import pytest
from photo_folders import png, tree, write

from graft.core.errors import GraftError
from graft.core.params.models import SplitParams, ValidateParams
from graft.data.folder import swap
from graft.data.folder.layout import read_layout
from graft.data.scan.manifest import read_manifest
from graft.data.scan.scan_images import scan
from graft.data.sources.importing import import_images
from graft.data.splits.split_images import make_split

pytestmark = pytest.mark.usefixtures("quick_dvc")

IMAGES = {f"shots/{i}.png": png(i) for i in range(8)}


@pytest.fixture
def shots(tmp_path):
    return write(tmp_path / "material", IMAGES)


def table(folder, text, name="table.csv", encoding="utf-8"):
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def rows(*cells, header="path,label"):
    return "\n".join([header, *cells]) + "\n"


PLAIN = rows(*(f"shots/{i}.png,{'cat' if i < 4 else 'dog'}" for i in range(8)))


def test_path_and_label(project, shots):
    imported = import_images(project, table(shots, PLAIN, "pets.csv"))
    assert tree(project.data) == {f"{'cat' if i < 4 else 'dog'}/{i}.png": png(i) for i in range(8)}
    assert imported.dataset == "pets"
    assert imported.counts == {"": {"cat": 4, "dog": 4}}
    assert imported.notes == ()
    assert imported.split_settings == {}


@pytest.mark.parametrize("kind", ["semicolons", "tabs", "excel", "quoted", "parquet", "absolute", "blank lines"])
def test_ways_to_write_a_table(kind, project, shots):
    path = shots / "pets.csv"
    if kind == "parquet":
        frame = pd.DataFrame([line.split(",") for line in PLAIN.splitlines()[1:]], columns=["path", "label"])
        path = shots / "pets.parquet"
        frame.assign(label=frame["label"].astype("category")).to_parquet(path)
    elif kind == "excel":
        table(shots, PLAIN.replace("\n", "\r\n"), "pets.csv", "utf-8-sig")
    elif kind == "absolute":
        table(shots, PLAIN.replace("shots/", f"{shots}/shots/"), "pets.csv")
    else:
        text = {"semicolons": PLAIN.replace(",", ";"), "tabs": PLAIN.replace(",", "\t")}.get(kind, PLAIN)
        text = re.sub(r"(\w+)$", r'"\1"', text, flags=re.M) if kind == "quoted" else text
        table(shots, text.replace("\n", "\n\n") if kind == "blank lines" else text, "pets.csv")
    import_images(project, path)
    assert tree(project.data) == {f"{'cat' if i < 4 else 'dog'}/{i}.png": png(i) for i in range(8)}


def scanned(project, tmp_path):
    """The manifest of what was imported; the pictures of these tests are small."""
    scan(read_layout(project.data), ValidateParams(min_side_px=1), tmp_path / "manifest.parquet")
    return read_manifest(tmp_path / "manifest.parquet")


def test_splits_groups_and_columns_that_are_not_known(project, shots, tmp_path):
    cells = [f"shots/{i}.png,{i % 2},{'Training' if i < 6 else 'test'},{'p/1' if i < 3 else 'p2'},x" for i in range(8)]
    imported = import_images(project, table(shots, rows(*cells, header="path,label,split,group,camera")))
    assert imported.counts == {"train": {"0": 3, "1": 3}, "test": {"0": 1, "1": 1}}
    assert tree(project.data)["train/1/group=p%2F1/1.png"] == png(1)
    assert imported.notes == ("Other columns of table.csv are in data/columns.csv: camera",)
    assert (project.data / "columns.csv").read_text().splitlines()[:2] == ["path,camera", "train/0/group=p%2F1/0.png,x"]
    groups = scanned(project, tmp_path).set_index("path")["group"]
    assert groups["train/0/group=p%2F1/0.png"] == groups["train/1/group=p%2F1/1.png"] == "p/1"
    assert groups["test/0/group=p2/6.png"] == "p2"
    assert imported.split_settings == {"method": "official", "group_by": "column"}


@pytest.mark.parametrize("method", ["group", "k_fold", "official"])
def test_a_column_of_groups_becomes_a_split_that_tears_none(method, project, tmp_path):
    """Ten patients with six photographs each, three of a class; patient 9 has names that no folder can have."""
    patients = ['100% / "nine"' if n == 9 else f"patient {n}" for n in range(10)]
    shots = {f"{n}-{i}.png": png(10 * n + i) for n in range(10) for i in range(6)}
    header = "path,label,group" + (",split" if method == "official" else "")
    cells = []
    for name in shots:
        n, i = int(name[0]), int(name[2])
        quoted = patients[n].replace('"', '""')
        split = f",{'test' if n < 3 else 'train'}" if method == "official" else ""
        cells.append(f'{name},{"ill" if i % 2 else "well"},"{quoted}"{split}')
    folder = write(tmp_path / "material", shots)
    imported = import_images(project, table(folder, rows(*cells, header=header)))
    if method != "k_fold":
        assert imported.split_settings == {"method": method, "group_by": "column"}

    manifest = scanned(project, tmp_path)
    assert set(manifest["group"]) == set(patients)
    split = make_split(manifest, SplitParams(method=method, group_by="column"))
    assert sum(split.summary["images"].values()) == 60
    groups = {name: set(part["group"]) for name, part in split.tables.items()}
    assert all(groups.values())
    assert sum(map(len, groups.values())) == len(set.union(*groups.values())) == 10


def test_groups_that_the_tables_own_split_tears_are_named(project, shots, tmp_path):
    cells = [f"shots/{i}.png,{i % 2},{'test' if i > 5 else 'train'},{'ann' if i > 4 else i}" for i in range(8)]
    import_images(project, table(shots, rows(*cells, header="path,label,split,group")))
    with pytest.raises(GraftError, match="tears 1 groups apart: 'ann' is in .*set split.method to group"):
        make_split(scanned(project, tmp_path), SplitParams(method="official", group_by="column"))


def test_an_image_without_a_group_is_its_own(project, shots):
    cells = [f"shots/{i}.png,{i % 2},{'g' if i else ''}" for i in range(8)]
    import_images(project, table(shots, rows(*cells, header="path,label,group")))
    assert "0/0.png" in tree(project.data)
    assert "1/group=g/1.png" in tree(project.data)


def test_numbers_in_a_parquet_file(project, shots):
    frame = pd.DataFrame({"path": [f"shots/{i}.png" for i in range(8)], "label": [i % 2 for i in range(8)]})
    frame["group"] = [float(i) if i < 4 else None for i in range(8)]
    frame.to_parquet(shots / "t.parquet")
    import_images(project, shots / "t.parquet")
    assert {"0/group=0/0.png", "1/group=3/3.png", "0/4.png"} <= set(tree(project.data))


def test_text_that_a_parquet_file_holds_as_bytes(project, shots):
    frame = pd.DataFrame({"path": [f"shots/{i}.png".encode() for i in range(8)], "label": "häl".encode()})
    frame.loc[0, "label"] = b"cat"
    frame.to_parquet(shots / "t.parquet")
    import_images(project, shots / "t.parquet")
    assert {"cat/0.png", "häl/1.png"} <= set(tree(project.data))
    frame.loc[3, "label"] = b"\xff"
    frame.to_parquet(shots / "t.parquet")
    with pytest.raises(GraftError, match="row 4: a cell holds bytes that are not UTF-8"):
        import_images(project, shots / "t.parquet", replace=True)


def test_folders_stay_where_they_tell_images_apart(project, tmp_path):
    files = {"a/cat/1.png": b"1", "a/x/1.png": b"2", "b/cat/1.png": b"3", "b/.hidden/1.png": b"4"}
    folder = write(tmp_path / "material", files)
    cells = ["a/cat/1.png,cat", "a/x/1.png,dog", "b/cat/1.png,cat", "b/.hidden/1.png,dog"]
    import_images(project, table(folder, rows(*cells)))
    expected = {"cat/a/cat/1.png": b"1", "dog/a/x/1.png": b"2", "cat/b/cat/1.png": b"3", "dog/b/1.png": b"4"}
    assert tree(project.data) == expected


def test_class_folders_are_not_repeated(project, tmp_path):
    files = {f"{split}/{label}/1.png": png(i) for i, (split, label) in enumerate(
        (s, k) for s in ("train", "test") for k in ("cat", "dog"))}  # fmt: skip
    folder = write(tmp_path / "material", files)
    cells = [f"{name},{name.split('/')[1]},{name.split('/')[0]}" for name in files]
    import_images(project, table(folder, rows(*cells, header="path,label,split")))
    assert tree(project.data) == files


WRONG = {
    "no label": ("path,colour,x\nshots/0.png,a,b\n", r"no column 'label': its columns are path, colour, x"),
    "nearly": ("path,lable,x\nshots/0.png,a,b\n", r"no column 'label'.*Did you mean 'lable'"),
    "empty": ("", "no column 'path': its columns are none"),
    "only a header": ("path,label\n", "has no rows"),
    "a column twice": ("path,label,label\nshots/0.png,a,b\n", "has a column twice"),
    "missing file": (rows("shots/0.png,a", "shots/99.png,b"), r"row 3: '.*99\.png' cannot be read: No such file"),
    "a folder": (rows("shots.png,a"), r"row 2: '.*shots\.png' is no file"),
    "no image": (rows("shots/0.png,a", "table.csv,b"), r"row 3: 'table\.csv' is no image"),
    "hidden": (rows("shots/.0.png,a"), r"row 2: 'shots/\.0\.png' is no image"),
    "no path": (rows(",a"), "row 2: the path is empty"),
    "twice": (rows("shots/0.png,a", "shots/1.png,a", "shots/../shots/0.png,b"), r"row 4: '.*' is in row 2 already"),
    "bad split": (rows("shots/0.png,a,tain", header="path,label,split"), "row 2: 'tain' is no split.*train, val or"),
    "split missing": (
        rows("shots/0.png,a,train", "shots/1.png,a,", header="path,label,split"),
        "row 3: the split is empty",
    ),
    "one split": (
        rows("shots/0.png,a,train", "shots/1.png,b,train", header="path,label,split"),
        "nothing but train.*remove the column",
    ),
    "ragged": (rows("shots/0.png,a", "shots/1.png,a,b"), "row 3: 3 cells instead of 2"),
    "empty label": (rows("shots/0.png,"), "row 2: the label '' cannot be a folder's name: it is empty"),
    "slash": (rows("shots/0.png,cat/tabby"), "row 2: the label 'cat/tabby' .* holds '/'.*Call the class 'cat_tabby'"),
    "dot": (rows("shots/0.png,.."), r"row 2: the label '\.\.' .* begins with a dot.*another name"),
    "device": (rows("shots/0.png,con"), "the label 'con' .* Windows does not allow it"),
    "question": (rows("shots/0.png,is it?"), r"holds '\?'.*Call the class 'is it'"),
    "long": (rows(f"shots/0.png,{'x' * 201}"), "longer than 200 bytes"),
    "long group": (rows(f"shots/0.png,a,{'x' * 250}", header="path,label,group"), "row 2: the group .* too long"),
    "open quote": (rows('shots/0.png,"a'), "cannot be read after row"),
    "one class": (rows("shots/0.png,a", "shots/1.png,a"), "All images lie in one class folder, 'a'"),
    "case": (rows("shots/0.png,a", "shots/1.png,A"), "'a' and 'A' differ only by case"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_and_data_untouched(case, project, shots):
    text, message = WRONG[case]
    (shots / "shots.png").mkdir()
    write(project.data, {"x/mine.png": b"mine"})
    with pytest.raises(GraftError, match=message):
        import_images(project, table(shots, text), replace=True)
    assert tree(project.data) == {"x/mine.png": b"mine"}
    assert not (project.state / "staging").exists()


def test_two_rows_that_would_become_one_file(project, tmp_path):
    folder = write(tmp_path / "material", {"cat/1.png": b"1", "1.png": b"2", "2.png": b"3"})
    with pytest.raises(GraftError, match=r"row 3: '.*' and row 2 would both become 'cat/1\.png'"):
        import_images(project, table(folder, rows("cat/1.png,cat", "1.png,cat", "2.png,dog")))


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_case_22_a_page_or_pointer_in_the_place_of_a_table_is_named(name, project, tmp_path):
    for data, found in ((b"<html>Sign in</html>", "an HTML page"), (b"version https://git-lfs", "a Git LFS pointer")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(GraftError, match=rf"{name} is .*, but {found}"):
            import_images(project, tmp_path / name)


@pytest.mark.parametrize("name, data", [("t.csv", b"path,label\n\xff,a\n"), ("t.parquet", b"PAR1 no"), ("t.pq", b"")])
def test_a_table_that_cannot_be_read(name, data, project, tmp_path):
    with pytest.raises(GraftError, match=r"UTF-8|not a whole Parquet file"):
        import_images(project, write(tmp_path, {name: data}) / name)


def test_a_file_that_goes_away_meanwhile(project, shots, monkeypatch):
    original = swap.incoming

    def incoming(project):
        (shots / "shots/3.png").unlink()
        return original(project)

    monkeypatch.setattr(swap, "incoming", incoming)
    with pytest.raises(GraftError, match=r"row 5: '.*3\.png' cannot be read"):
        import_images(project, table(shots, PLAIN))
    assert not project.data.exists()
