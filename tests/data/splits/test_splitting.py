"""Official and stratified splits: what goes where, and what is refused."""

import hashlib
from typing import Any

import pandas as pd
import pytest

from graft.core.errors import GraftError
from graft.core.params.models import SplitParams
from graft.core.project import SPLITS
from graft.data.splits.split_images import make_split

PARAMS = SplitParams()


def image(path: str, content: str | None = None, split: str = "", left_out: str = "") -> dict[str, str]:
    """A manifest's row; ``content`` stands for the bytes and defaults to the path: every image different."""
    folders = path.split("/")
    digest = hashlib.sha256((content or path).encode()).hexdigest()
    label = folders[1] if split else folders[0]
    return {"path": path, "label": label, "split": split, "sha256": digest, "left_out": left_out}


def images(folder: str, count: int, split: str = "") -> list[dict[str, str]]:
    return [image(f"{folder}/{i:03d}.png", split=split) for i in range(count)]


def split_of(rows: list[dict[str, str]], **params: Any) -> dict[str, pd.DataFrame]:
    return make_split(pd.DataFrame(rows), SplitParams(**params)).tables


def counts(tables: dict[str, pd.DataFrame]) -> dict[str, dict[str, int]]:
    return {split: table["label"].value_counts().sort_index().to_dict() for split, table in tables.items()}


IMBALANCED = [*images("cat", 100), *images("dog", 40), *images("rare", 3)]
OFFICIAL = [
    *images("train/cat", 40, "train"),
    *images("train/dog", 20, "train"),
    *images("test/cat", 10, "test"),
    *images("test/dog", 5, "test"),
]


def assert_whole(tables: dict[str, pd.DataFrame], rows: list[dict[str, str]]) -> None:
    """Every image is in exactly one split, and no bytes are in two."""
    paths = [path for table in tables.values() for path in table["path"]]
    assert sorted(paths) == sorted(row["path"] for row in rows)
    digests = [set(tables[split]["sha256"]) for split in SPLITS]
    assert sum(map(len, digests)) == len(set.union(*digests))


def near(*groups: list[dict[str, str]]) -> pd.DataFrame:
    """A table of near-duplicates: each list of rows is a group."""
    rows = [
        {"path": row["path"], "sha256": row["sha256"], "label": row["label"], "group": group[0]["sha256"]}
        for group in groups
        for row in group
    ]
    return pd.DataFrame(rows, columns=["path", "sha256", "label", "group"])


def test_auto_keeps_near_duplicates_together_and_other_methods_do_not() -> None:
    rows = [*images("cat", 60), *images("dog", 60)]
    series = [rows[start : start + 5] for start in range(0, 120, 5)]
    split = make_split(pd.DataFrame(rows), PARAMS, near_duplicates=near(*series))
    assert_whole(split.tables, rows)
    place = {path: part for part, table in split.tables.items() for path in table["path"]}
    assert all(len({place[row["path"]] for row in group}) == 1 for group in series)
    assert split.summary["near_duplicates_together"] == {"images": 120, "groups": 24}
    apart = make_split(pd.DataFrame(rows), SplitParams(method="stratified"), near_duplicates=near(*series))
    assert apart.tables["test"]["path"].tolist() == split_of(rows)["test"]["path"].tolist()
    assert apart.summary["near_duplicates_together"] == {}


def test_auto_moves_nothing_that_was_divided_before_near_duplicates_came() -> None:
    rows = [*images("cat", 60), *images("dog", 60)]
    first = make_split(pd.DataFrame(rows), PARAMS, near_duplicates=near())
    series = [rows[start : start + 5] for start in range(0, 120, 5)]
    second = make_split(pd.DataFrame(rows), PARAMS, first.memory, near(*series))
    for part in SPLITS:
        assert list(second.tables[part]["path"]) == list(first.tables[part]["path"])


def test_training_images_that_show_what_an_official_test_image_shows_are_left_out() -> None:
    twins = [[OFFICIAL[i], OFFICIAL[60 + i]] for i in range(4)]  # four of train/cat and test/cat
    split = make_split(pd.DataFrame(OFFICIAL), PARAMS, near_duplicates=near(*twins))
    assert counts(split.tables)["test"] == {"cat": 10, "dog": 5}
    assert [one["path"] for one in split.summary["near_duplicates_dropped"]] == [pair[0]["path"] for pair in twins]
    assert split.summary["near_duplicates_dropped"][0] == {
        "path": "train/cat/000.png",
        "split": "train",
        "near": "test/cat/000.png",
        "near_in": "test",
    }
    left = {path for table in split.tables.values() for path in table["path"]}
    assert left == {row["path"] for row in OFFICIAL} - {pair[0]["path"] for pair in twins}


def test_a_class_of_which_most_is_alike_keeps_its_training_images() -> None:
    alike = [row for row in OFFICIAL if row["label"] == "dog"][5:]  # 15 of 20 in train, all of test
    split = make_split(pd.DataFrame(OFFICIAL), PARAMS, near_duplicates=near(alike))
    assert split.summary["near_duplicates_dropped"] == []


def test_three_images_are_a_class_and_fewer_are_left_out() -> None:
    rows = [*IMBALANCED, *images("two", 2)]
    split = make_split(pd.DataFrame(rows), PARAMS)
    assert split.summary["classes_left_out"] == {"two": 2}
    assert_whole(split.tables, IMBALANCED)
    assert all(counts(split.tables)[part]["rare"] == 1 for part in SPLITS)


def test_too_few_images_of_most_classes_are_one_sentence() -> None:
    rows = [*images("a", 30), *images("b", 2), *images("c", 1)]
    with pytest.raises(GraftError, match=r"2 of 3 classes cannot be divided .* takes 3 .*: 'c' has 1\. Add images"):
        make_split(pd.DataFrame(rows), PARAMS)


def test_stratified_parts_have_their_shares_and_hold_every_class() -> None:
    tables = split_of(IMBALANCED)
    assert_whole(tables, IMBALANCED)
    found = counts(tables)
    # Of 100 cats, 20 +/- 4 and then 12 +/- 3.2 are drawn; the small classes have exact quotas.
    assert 12 <= found["test"]["cat"] <= 28
    assert 6 <= found["val"]["cat"] <= 18
    small = {split: {label: found[split][label] for label in ("dog", "rare")} for split in SPLITS}
    assert small == {"train": {"dog": 27, "rare": 1}, "val": {"dog": 5, "rare": 1}, "test": {"dog": 8, "rare": 1}}


def test_numbers_of_images_are_met_exactly_and_in_proportion() -> None:
    # 1,892/600/400 of 2,892, as on rock-paper-scissors: 133.3 images of each class to test.
    rows = [row for label in ("paper", "rock", "scissors") for row in images(label, 964)]
    tables = split_of(rows, test_size=400, val_size=600)
    assert {split: len(table) for split, table in tables.items()} == {"train": 1892, "val": 600, "test": 400}
    assert sorted(counts(tables)["test"].values()) == [133, 133, 134]


def test_numbers_of_images_leave_no_class_out() -> None:
    tables = split_of([*images("cat", 500), *images("dog", 3)], test_size=50, val_size=10)
    assert counts(tables)["test"] == {"cat": 49, "dog": 1}
    assert counts(tables)["val"] == {"cat": 9, "dog": 1}


@pytest.mark.parametrize(("number", "limits"), [(1, "between 2 and 536"), (537, "between 2 and 536")])
def test_impossible_numbers_of_images_are_refused(number: int, limits: str) -> None:
    with pytest.raises(GraftError, match=rf"split.test_size is {number}, .* {limits} can be taken"):
        split_of([*images("cat", 500), *images("dog", 40)], test_size=number)


def test_a_class_too_small_for_a_number_of_images_is_refused() -> None:
    with pytest.raises(GraftError, match=r"which takes 3 different images .*: 'dog' has 2"):
        split_of([*images("cat", 500), *images("dog", 2)], test_size=50)


@pytest.mark.parametrize("count", [3, 4, 5, 7])
@pytest.mark.parametrize("fraction", [0.01, 0.45])
def test_small_classes_keep_an_image_in_every_split(count: int, fraction: float) -> None:
    tables = split_of(images("cat", count) + images("dog", 50), test_size=fraction, val_size=fraction)
    assert all("cat" in set(table["label"]) for table in tables.values())


def test_a_class_that_cannot_be_in_every_part_is_left_out_or_refused() -> None:
    with pytest.raises(GraftError, match=r"takes 3 different images .*: 'cat' has 2"):
        split_of(images("cat", 2) + images("dog", 50))
    official = make_split(pd.DataFrame([*OFFICIAL, *images("train/bird", 1, "train")]), PARAMS)
    assert official.summary["classes_left_out"] == {"bird": 1}


def test_the_order_of_rows_does_not_matter() -> None:
    shuffled = pd.DataFrame(IMBALANCED).sample(frac=1, random_state=3)
    expected, found = split_of(IMBALANCED), make_split(shuffled, PARAMS).tables
    for split in SPLITS:
        pd.testing.assert_frame_equal(found[split], expected[split])
        assert list(found[split]["sha256"]) == sorted(found[split]["sha256"])


def test_names_do_not_matter_within_a_class() -> None:
    renamed = [{**row, "path": f"{row['label']}/new-{i}.png"} for i, row in enumerate(IMBALANCED)]
    expected, found = split_of(IMBALANCED), split_of(renamed)
    assert all(set(found[split]["sha256"]) == set(expected[split]["sha256"]) for split in SPLITS)


def test_the_seed_matters_and_nothing_else_does() -> None:
    first, again, other = split_of(IMBALANCED), split_of(IMBALANCED), split_of(IMBALANCED, seed=14)
    assert first["test"].equals(again["test"])
    assert set(first["test"]["path"]) != set(other["test"]["path"])


def test_copies_land_together_and_count_once() -> None:
    copies = [image(f"cat/copy-{i}-{n}.png", content=f"cat {i}") for i in range(20) for n in range(1 + i % 4)]
    rows = copies + images("dog", 40)
    tables = split_of(rows)
    assert_whole(tables, rows)
    distinct = tables["test"].loc[tables["test"]["label"] == "cat", "sha256"].nunique()
    assert distinct == 4


def test_unreadable_images_are_left_out() -> None:
    broken = image("cat/broken.png", left_out="the file is empty")
    split = make_split(pd.DataFrame([*IMBALANCED, broken]), PARAMS)
    assert_whole(split.tables, IMBALANCED)
    assert split.summary["left_out"] == 1


def test_official_test_is_kept_and_val_carved_out_of_train() -> None:
    split = make_split(pd.DataFrame(OFFICIAL), PARAMS)
    assert_whole(split.tables, OFFICIAL)
    assert counts(split.tables) == {
        "train": {"cat": 34, "dog": 17},
        "val": {"cat": 6, "dog": 3},
        "test": {"cat": 10, "dog": 5},
    }
    assert all(path.startswith("test/") for path in split.tables["test"]["path"])
    assert split.summary["method"] == "official"
    assert split.summary["carved"] == ["val"]


def test_official_parts_are_all_kept_where_all_are_there() -> None:
    rows = OFFICIAL + images("val/cat", 7, "val")
    split = make_split(pd.DataFrame(rows), PARAMS)
    assert counts(split.tables)["val"] == {"cat": 7}
    assert counts(split.tables)["train"] == {"cat": 40, "dog": 20}
    assert split.summary["carved"] == []


def test_official_train_and_val_alone_give_up_images_for_test() -> None:
    rows = [row for row in OFFICIAL if row["split"] == "train"] + images("val/cat", 7, "val")
    tables = split_of(rows, method="official")
    assert_whole(tables, rows)
    assert counts(tables) == {"train": {"cat": 32, "dog": 16}, "val": {"cat": 7}, "test": {"cat": 8, "dog": 4}}


def test_stratified_on_request_pools_an_official_split() -> None:
    tables = split_of(OFFICIAL, method="stratified")
    assert_whole(tables, OFFICIAL)
    assert {path.split("/")[0] for path in tables["test"]["path"]} == {"train", "test"}


def test_official_without_an_official_split_is_refused() -> None:
    with pytest.raises(GraftError, match=r"brings no split of its own.*split.method to auto"):
        split_of(IMBALANCED, method="official")


def test_copies_of_held_out_images_are_kept_out_of_training() -> None:
    leaks = [
        image("train/cat/leak.png", content="test/cat/000.png", split="train"),
        image("val/cat/leak.png", content="test/cat/000.png", split="val"),
        image("train/dog/leak.png", content="val/dog/000.png", split="train"),
    ]
    rows = OFFICIAL + images("val/cat", 4, "val") + images("val/dog", 4, "val")
    split = make_split(pd.DataFrame(rows + leaks), PARAMS)
    assert_whole(split.tables, rows)
    assert split.summary["duplicates_dropped"] == [
        {"path": "train/cat/leak.png", "split": "train", "copy_of": "test/cat/000.png", "copy_in": "test"},
        {"path": "train/dog/leak.png", "split": "train", "copy_of": "val/dog/000.png", "copy_in": "val"},
        {"path": "val/cat/leak.png", "split": "val", "copy_of": "test/cat/000.png", "copy_in": "test"},
    ]


def test_a_class_that_train_lacks_is_refused() -> None:
    with pytest.raises(GraftError, match=r"test holds the class 'bird' \(test/bird/000.png\)"):
        split_of(OFFICIAL + images("test/bird", 2, "test"))


def test_a_class_whose_training_images_are_all_copies_of_test_images_is_refused() -> None:
    copies = [image(f"train/bird/{i}.png", content=f"test/bird/00{i}.png", split="train") for i in range(2)]
    with pytest.raises(GraftError, match="of which train has no image of its own"):
        split_of(OFFICIAL + copies + images("test/bird", 2, "test"))


def test_an_empty_train_is_refused() -> None:
    broken = image("train/cat/broken.png", split="train", left_out="the file is empty")
    with pytest.raises(GraftError, match="test holds the class 'cat'"):
        split_of([broken, *images("test/cat", 2, "test")])


def test_an_official_part_without_a_readable_image_is_refused() -> None:
    broken = image("val/cat/broken.png", split="val", left_out="the file is empty")
    with pytest.raises(GraftError, match="The val split is empty"):
        split_of([*OFFICIAL, broken])


def test_nothing_readable_is_refused() -> None:
    with pytest.raises(GraftError, match="no image that takes part"):
        split_of([image("cat/broken.png", left_out="the file is empty")])


def test_the_summary_says_how_it_came_about() -> None:
    summary = make_split(pd.DataFrame(OFFICIAL), PARAMS).summary
    assert summary.pop("exchanged") <= 6
    assert summary == {
        "method": "official",
        "group_by": "none",
        "carved": ["val"],
        "seed": 13,
        "stable_under_growth": True,
        "images": {"train": 51, "val": 9, "test": 15},
        "groups": {"train": 51, "val": 9, "test": 15},
        "classes": {"cat": {"train": 34, "val": 6, "test": 10}, "dog": {"train": 17, "val": 3, "test": 5}},
        "shares": {
            "val": {"asked": 0.15, "reached": 0.15, "by_class": {"cat": 0.15, "dog": 0.15}},
            "test": {"asked": None, "reached": 0.2, "by_class": {"cat": 0.2, "dog": 0.2}},
        },
        "groups_joined_later": [],
        "near_duplicates_dropped": [],
        "near_duplicates_together": {},
        "series": {},
        "classes_left_out": {},
        "unmatched": {"images": 0, "example": ""},
        "left_out": 0,
        "duplicates_dropped": [],
    }
    assert not make_split(pd.DataFrame(IMBALANCED), SplitParams(test_size=20)).summary["stable_under_growth"]
