"""Splits by whole groups, and folds: where groups come from, what is kept together, and what is refused."""

from typing import Any

import pandas as pd
import pytest
from test_splitting import OFFICIAL, counts, image, images, split_of

from graft.core.errors import GraftError
from graft.core.params.models import SplitParams
from graft.core.project import SPLITS
from graft.data.splits.split_images import make_split

HAND = r"(.+)-[0-9]+"


def hands(label: str, count: int, frames: int, split: str = "") -> list[dict[str, str]]:
    folder = f"{split}/{label}" if split else label
    return [
        image(f"{folder}/{split}{label}{hand:02d}-{frame:03d}.png", split=split)
        for hand in range(count)
        for frame in range(frames)
    ]


HANDS = [row for label in ("paper", "rock", "scissors") for row in hands(label, 7, 12)]
OFFICIAL_HANDS = [
    row for label in ("paper", "rock") for row in [*hands(label, 7, 12, "train"), *hands(label, 4, 3, "test")]
]


def assert_groups_whole(tables: dict[str, pd.DataFrame]) -> None:
    groups = [set(tables[split]["group"]) for split in SPLITS]
    assert sum(map(len, groups)) == len(set.union(*groups))


def complaint(rows: list[dict[str, str]], **params: Any) -> str:
    with pytest.raises(GraftError) as caught:
        split_of(rows, **params)
    return str(caught.value)


def test_hands_stay_whole_and_every_class_is_everywhere() -> None:
    split = make_split(pd.DataFrame(HANDS), SplitParams(method="group", group_by=HAND))
    assert_groups_whole(split.tables)
    # Of 7 hands, 1.4 to test and 0.9 to val.
    assert split.summary["groups"] == {"train": 15, "val": 3, "test": 3}
    assert counts(split.tables)["test"] == {"paper": 12, "rock": 12, "scissors": 12}
    assert set(split.tables["val"]["group"].str.len()) <= {len("rock/rock00"), len("scissors/scissors00"), 13}


def test_auto_takes_groups_where_they_are_named() -> None:
    split = make_split(pd.DataFrame(HANDS), SplitParams(group_by=HAND))
    assert split.summary["method"] == "group"


def test_a_named_capture_group_may_stand_among_others() -> None:
    named = split_of(HANDS, method="group", group_by=r"(paper|rock|scissors)/(?P<group>[a-z]+[0-9]+)-")
    assert_groups_whole(named)
    assert set(named["train"]["group"]) >= {"paper00"} or set(named["test"]["group"]) >= {"paper00"}


def test_official_gives_val_by_whole_groups_of_train() -> None:
    split = make_split(pd.DataFrame(OFFICIAL_HANDS), SplitParams(method="official", group_by=HAND))
    assert_groups_whole(split.tables)
    assert split.summary["groups"] == {"train": 12, "val": 2, "test": 8}
    assert set(split.tables["val"]["path"].str.split("/").str[0]) == {"train"}


def test_an_official_split_that_tears_a_group_is_refused() -> None:
    rows = [*OFFICIAL_HANDS, image("test/rock/trainrock00-99.png", split="test")]
    message = complaint(rows, group_by="([^/]+)-[0-9]+")
    assert "'trainrock00' is in test (test/rock/trainrock00-99.png) and train" in message
    assert "capture the folder" in message


def test_the_column_of_the_data_is_used() -> None:
    rows = [{**row, "group": row["path"].rpartition("-")[0]} for row in HANDS]
    by_column = split_of(rows, method="group", group_by="column")
    assert_groups_whole(by_column)
    assert set(by_column["test"]["group"]) <= {row["group"] for row in rows}
    rows[0]["group"] = ""
    summary = make_split(pd.DataFrame(rows), SplitParams(group_by="column")).summary
    assert summary["unmatched"] == {"images": 1, "example": rows[0]["path"]}


@pytest.mark.parametrize("rows", [HANDS, [{**row, "group": ""} for row in HANDS]])
def test_a_column_that_is_not_there_is_refused(rows: list[dict[str, str]]) -> None:
    assert "the data brings no groups of its own" in complaint(rows, method="group", group_by="column")


def test_images_that_the_expression_does_not_fit_stand_for_themselves() -> None:
    rows = [*HANDS, *images("paper", 3)]
    summary = make_split(pd.DataFrame(rows), SplitParams(group_by=HAND)).summary
    assert summary["unmatched"] == {"images": 3, "example": "paper/000.png"}
    assert sum(summary["groups"].values()) == 24


def test_an_expression_that_fits_nothing_is_refused_with_an_example() -> None:
    message = complaint(HANDS, group_by="(track[0-9]+)")
    assert "'(track[0-9]+)' finds a group in none of the 252 paths" in message
    assert "paper/paper00-000.png" in message


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"group_by": "hand"}, "has 0 capture groups"),
        ({"group_by": "(a)(b)"}, "has 2 capture groups"),
        ({"group_by": "(a"}, "is not a regular expression"),
        ({"method": "group"}, "group_by is none"),
        ({"method": "stratified", "group_by": HAND}, "would tear the groups"),
        ({"method": "k_fold", "folds": 4, "fold": 4}, "the folds are 0 to 3"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(params: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        SplitParams(**params)


def test_a_number_of_images_and_whole_groups_are_refused() -> None:
    assert "groups go whole" in complaint(HANDS, group_by=HAND, test_size=50)
    assert "groups go whole" in complaint(HANDS, group_by=HAND, val_size=50)


def test_a_class_of_fewer_groups_than_parts_is_left_out() -> None:
    few = make_split(pd.DataFrame([*HANDS, *hands("well", 2, 40)]), SplitParams(group_by=HAND))
    assert few.summary["classes_left_out"] == {"well": 2}
    folds = SplitParams(method="k_fold", group_by=HAND)
    assert make_split(pd.DataFrame([*HANDS, *hands("well", 4, 9)]), folds).summary["classes_left_out"] == {"well": 4}
    enough = make_split(pd.DataFrame([*HANDS, *hands("well", 5, 9)]), folds)
    assert enough.summary["classes_left_out"] == {}
    for part in SPLITS:
        assert "well" not in set(few.tables[part]["label"])
        assert "well" in set(enough.tables[part]["label"])
    assert sum(map(len, few.tables.values())) == len(HANDS)


def test_fewer_groups_than_parts_in_most_classes_are_refused() -> None:
    rows = [*hands("paper", 7, 12), *hands("rock", 2, 40), *hands("well", 1, 40)]
    assert "2 of 3 classes cannot be divided into train, val and test, which takes 3 different images" in (
        message := complaint(rows, group_by=HAND)
    )
    assert "'well' has 1" in message
    assert "which takes 5 different images" in complaint(
        [*hands("paper", 7, 12), *hands("well", 4, 9)], method="k_fold", group_by=HAND
    )


def test_copies_in_two_groups_are_kept_only_further_from_training() -> None:
    split = make_split(pd.DataFrame(HANDS), SplitParams(group_by=HAND))
    in_test = next(row for row in HANDS if row["path"] == split.tables["test"]["path"].iloc[0])
    label = in_test["label"]
    train = split.tables["train"]
    group = train.loc[train["label"] == label, "group"].iloc[0]
    copy = {**in_test, "path": f"{group}-999.png"}
    again = make_split(pd.DataFrame([*HANDS, copy]), SplitParams(group_by=HAND), split.memory)
    assert again.summary["duplicates_dropped"] == [
        {"path": copy["path"], "split": "train", "copy_of": in_test["path"], "copy_in": "test"}
    ]
    assert all(again.tables[name].equals(split.tables[name]) for name in SPLITS)


@pytest.mark.parametrize("group_by", ["none", HAND])
@pytest.mark.parametrize("folds", [2, 5])
def test_every_image_is_in_the_test_of_exactly_one_fold(group_by: str, folds: int) -> None:
    tested: list[str] = []
    for fold in range(folds):
        tables = split_of(HANDS, method="k_fold", group_by=group_by, folds=folds, fold=fold)
        assert_groups_whole(tables)
        assert {split: set(table["label"]) for split, table in tables.items()} == {
            split: {"paper", "rock", "scissors"} for split in SPLITS
        }
        tested += list(tables["test"]["path"])
    assert sorted(tested) == sorted(row["path"] for row in HANDS)


def test_folds_pool_an_official_split() -> None:
    split = make_split(pd.DataFrame(OFFICIAL), SplitParams(method="k_fold"))
    assert split.summary["method"] == "k_fold"
    assert (split.summary["fold"], split.summary["folds"]) == (0, 5)
    assert counts(split.tables)["test"] == {"cat": split.summary["classes"]["cat"]["test"], "dog": 5}
    assert split.summary["shares"]["test"]["asked"] == 0.2
