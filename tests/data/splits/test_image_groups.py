"""Which training images belong together: by the split's groups, by near-duplicates, and along the chain of both."""

from pathlib import Path

import pandas as pd
import pytest

from graft.core.errors import GraftError
from graft.data.splits.image_groups import image_groups, read_groups, write_groups, write_split_groups


def table(**groups: str) -> pd.DataFrame:
    return pd.DataFrame({"sha256": list(groups), "group": list(groups.values())}, dtype=str)


def test_chains_of_groups_and_near_duplicates_become_one_group_named_by_its_smallest_hash() -> None:
    # a and b are of one film, b and c look alike, c and d are of another film; e is alone, x is not in train.
    train = table(d="film2", b="film1", a="film1", c="film2", e="e")
    near = table(b="b", c="b", x="b")
    found = image_groups(train, near)
    assert found.to_dict("list") == {"sha256": ["a", "b", "c", "d"], "group": ["a"] * 4}


def test_names_of_groups_play_no_part() -> None:
    one = image_groups(table(a="film1", b="film1", c="c"), table())
    other = image_groups(table(a="renamed", b="renamed", c="c"), table())
    assert one.equals(other)
    assert one["group"].tolist() == ["a", "a"]


def test_exact_copies_are_one_image() -> None:
    train = pd.DataFrame({"sha256": ["a", "a", "b"], "group": ["a", "a", "b"]})
    assert image_groups(train, table()).empty


def test_written_and_read_back_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "training_groups.csv"
    write_groups(image_groups(table(a="f", b="f", c="c"), table()), path)
    assert read_groups(path, ["c", "b", "a"]).tolist() == ["c", "a", "a"]
    with pytest.raises(GraftError, match=r"dvc repro -f split"):
        read_groups(tmp_path / "none.csv", ["a"])


def test_training_and_test_images_have_a_table_each(tmp_path: Path) -> None:
    from graft.core.project import Project

    tables = {"train": table(a="film1", b="film1"), "val": table(c="c"), "test": table(x="film2", y="film2", z="z")}
    project = Project(tmp_path)
    project.artifacts("split").mkdir(parents=True)
    write_split_groups(tables, table(b="b", c="b", z="b"), project)
    assert read_groups(project.training_groups, ["a", "b", "c"]).tolist() == ["a", "a", "a"]
    assert read_groups(project.test_groups, ["x", "y", "z"]).tolist() == ["x", "x", "z"]
