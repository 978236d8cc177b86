"""Split tables: through files, and back to the images' paths."""

import json
from pathlib import Path

import pandas as pd
import pytest
from test_splitting import IMBALANCED, OFFICIAL, PARAMS, image, images

from graft.core.errors import GraftError
from graft.core.project import SPLITS, Project
from graft.data.splits.split_images import make_split
from graft.data.splits.split_tables import read_split_table, read_splits, with_paths, write_split_tables


def write(rows: list[dict[str, str]], folder: Path) -> None:
    split = make_split(pd.DataFrame(rows), PARAMS)
    write_split_tables(split.tables, split.summary, folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {f"{name}.csv": (folder / f"{name}.csv").read_bytes() for name in SPLITS}


def test_tables_survive_the_way_through_csv(tmp_path: Path) -> None:
    labels = ["NA", 'a,b "c"', "犬", "001", "null", "cr\rb", "nan", "line\nbreak"]
    rows = [image(f"{label}/{i}.png") for label in labels for i in range(5)]
    split = make_split(pd.DataFrame(rows), PARAMS)
    write_split_tables(split.tables, split.summary, tmp_path)
    for name in SPLITS:
        table = read_split_table(tmp_path / f"{name}.csv")
        pd.testing.assert_frame_equal(table, split.tables[name][["sha256", "label"]], check_dtype=False)
        assert list(table["sha256"]) == sorted(table["sha256"])
    assert set(read_split_table(tmp_path / "train.csv")["label"]) == set(labels)


def test_files_are_equal_for_equal_input_and_end_lines_with_lf(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        write(OFFICIAL, tmp_path / folder)
    for name in ("train.csv", "val.csv", "test.csv", "summary.json"):
        content = (tmp_path / "first" / name).read_bytes()
        assert content == (tmp_path / "second" / name).read_bytes()
        assert b"\r" not in content
        assert content.endswith(b"\n")
    assert json.loads((tmp_path / "first" / "summary.json").read_text())["method"] == "official"


def test_renamed_files_change_no_table(tmp_path: Path) -> None:
    rows = [*IMBALANCED, image("dog/copy.png", content="dog/000.png")]
    renamed = [{**row, "path": f"{row['label']}/sub/{len(rows) - i}.jpg"} for i, row in enumerate(rows)]
    write(rows, tmp_path / "before")
    write(renamed, tmp_path / "after")
    assert contents(tmp_path / "before") == contents(tmp_path / "after")


def test_other_bytes_change_a_table(tmp_path: Path) -> None:
    write(IMBALANCED, tmp_path / "before")
    write([{**IMBALANCED[0], "sha256": "0" * 64}, *IMBALANCED[1:]], tmp_path / "after")
    assert contents(tmp_path / "before") != contents(tmp_path / "after")


def test_every_row_gets_a_path_of_its_own() -> None:
    rows = [*images("dog", 30), *(image(f"dog/copy-{i}.png", content="dog/000.png") for i in range(3))]
    manifest = pd.DataFrame([*rows, image("dog/broken.png", content="dog/000.png", left_out="empty")])
    tables = make_split(manifest, PARAMS).tables
    found = [with_paths(table[["sha256", "label"]], manifest, name) for name, table in tables.items()]
    joined = pd.concat(found)
    assert list(joined.columns) == ["path", "sha256", "label"]
    assert sorted(joined["path"]) == sorted(row["path"] for row in rows)
    digests = manifest.set_index("path")["sha256"]
    assert all(digests[row.path] == row.sha256 for row in joined.itertuples())


def test_a_copy_is_looked_up_in_its_own_split_first() -> None:
    manifest = pd.DataFrame(
        [*OFFICIAL, *images("val/dog", 4, "val"), image("train/dog/leak.png", "val/dog/000.png", "train")]
    )
    table = make_split(manifest, PARAMS).tables["val"]
    assert set(with_paths(table[["sha256", "label"]], manifest, "val")["path"]) == set(table["path"])


def test_a_project_gives_tables_with_paths(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.artifacts("validate").mkdir(parents=True)
    pd.DataFrame(OFFICIAL).to_parquet(project.manifest)
    write(OFFICIAL, project.artifacts("split"))
    tables = read_splits(project, ["train", "test"])
    assert {path.split("/")[0] for path in tables["test"]["path"]} == {"test"}
    assert {path.split("/")[0] for path in tables["train"]["path"]} == {"train"}


def test_an_image_that_the_manifest_lacks_is_named() -> None:
    tables = make_split(pd.DataFrame(IMBALANCED), PARAMS).tables
    gone = tables["test"]["sha256"].iloc[0]
    manifest = pd.DataFrame([row for row in IMBALANCED if row["sha256"] != gone])
    with pytest.raises(GraftError, match=rf"1 images of the test table .* {gone}.*run `dvc repro` again"):
        with_paths(tables["test"][["sha256", "label"]], manifest, "test")


def test_a_missing_or_foreign_table_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match=r"There is no split table at .*dvc repro split"):
        read_split_table(tmp_path / "train.csv")
    (tmp_path / "train.csv").write_text("file,class\na,b\n")
    with pytest.raises(GraftError, match="has the columns file, class instead of sha256, label"):
        read_split_table(tmp_path / "train.csv")
    (tmp_path / "train.csv").write_text("")
    with pytest.raises(GraftError, match="cannot be read as a split table"):
        read_split_table(tmp_path / "train.csv")
