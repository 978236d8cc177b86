"""A share of what came after an official split is tested on too, and is never mixed with the official images."""

from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError
from test_splitting import OFFICIAL, images, near

from graft.core.params.models import SplitParams
from graft.core.project import Project
from graft.data.splits.split_images import Split, make_split
from graft.data.splits.split_memory import Memory, read_memory, write_memory
from graft.data.splits.split_tables import read_split_table, write_split_tables

LATER = [*images("train/cat/later", 60, "train"), *images("train/dog/later", 40, "train")]
PARAMS = SplitParams(new_to_test=0.25)


def paths(split: Split) -> dict[str, set[str]]:
    assert split.new_test is not None
    return {name: set(table["path"]) for name, table in {**split.tables, "new": split.new_test}.items()}


def divided(rows: list[dict[str, str]], memory: Memory, params: SplitParams = PARAMS) -> Split:
    return make_split(pd.DataFrame(rows), params, memory, near())


def test_what_was_there_stays_and_of_what_came_later_a_share_is_set_aside_for_good() -> None:
    first = divided(OFFICIAL, Memory())
    assert paths(first)["new"] == set()
    without = make_split(pd.DataFrame(OFFICIAL), SplitParams(), Memory(), near())
    assert without.new_test is None
    assert paths(first)["test"] == set(without.tables["test"]["path"])

    half = divided([*OFFICIAL, *LATER[::2]], first.memory)
    whole = divided([*OFFICIAL, *LATER], half.memory)
    at_once = divided([*OFFICIAL, *LATER], first.memory)
    assert whole.summary["new_test"] == {"images": len(paths(whole)["new"]), "groups": len(paths(whole)["new"])}
    assert 12 <= len(paths(whole)["new"]) <= 38
    for found in (half, at_once):
        assert {name: found_paths - paths(whole)[name] for name, found_paths in paths(found).items()} == {
            name: set() for name in paths(found)
        }
    assert paths(whole)["test"] == paths(first)["test"]
    assert all(path.startswith(("train/cat/later", "train/dog/later")) for path in paths(whole)["new"])
    together = [path for of_part in paths(whole).values() for path in of_part]
    assert sorted(together) == sorted(row["path"] for row in [*OFFICIAL, *LATER])


def test_a_near_duplicate_of_one_that_was_set_aside_joins_it() -> None:
    first = divided(OFFICIAL, Memory())
    second = divided([*OFFICIAL, *LATER], first.memory)
    assert second.new_test is not None
    aside = second.new_test.iloc[0]
    (row,) = [row for row in LATER if row["path"] == aside["path"]]
    frames = images(f"train/{row['label']}/frame", 3, "train")
    third = make_split(pd.DataFrame([*OFFICIAL, *LATER, *frames]), PARAMS, second.memory, near([row, *frames]))
    assert {frame["path"] for frame in frames} <= paths(third)["new"]


def test_they_are_a_column_of_the_table_which_whoever_reads_it_has_to_ask_for(project: Project, tmp_path: Path) -> None:
    split = divided([*OFFICIAL, *LATER], divided(OFFICIAL, Memory()).memory)
    write_split_tables(split.tables, split.summary, tmp_path, split.new_test)
    head, *rows = (tmp_path / "test.csv").read_text().splitlines()
    assert head == "sha256,label,origin"
    assert split.new_test is not None
    assert len(rows) == len(split.tables["test"]) + len(split.new_test)
    assert (tmp_path / "train.csv").read_text().startswith("sha256,label\n")
    test, new = (read_split_table(tmp_path / "test.csv", origin) for origin in ("official", "new"))
    assert set(test["sha256"]) == set(split.tables["test"]["sha256"])
    assert set(new["sha256"]) == set(split.new_test["sha256"])
    assert list(test.columns) == list(new.columns) == ["sha256", "label"]
    write_split_tables(split.tables, split.summary, tmp_path)
    assert (tmp_path / "test.csv").read_text().startswith("sha256,label\n")
    assert not len(read_split_table(tmp_path / "test.csv", "new"))
    project.split_memory.parent.mkdir(parents=True, exist_ok=True)
    write_memory(split.memory, project)
    assert read_memory(project) == split.memory


def test_it_is_for_an_official_split() -> None:
    with pytest.raises(ValidationError, match="new_to_test is for an official split"):
        SplitParams(method="stratified", new_to_test=0.2)
    with pytest.raises(ValidationError, match="less than 1"):
        SplitParams(new_to_test=1)
    rows = images("cat", 40)
    assert make_split(pd.DataFrame(rows), PARAMS, Memory(), near()).new_test is None
