"""Near-duplicates as the data grows: no image moves, and what arrives joins the part of what it is alike to (B11)."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_splitting import image

from graft.core.errors import GraftError
from graft.core.params.models import SplitParams
from graft.data.checks.split_rules import near_duplicates_across
from graft.data.splits.assignment import Memory
from graft.data.splits.settled_groups import name_groups, naming_key
from graft.data.splits.split_images import Split, make_split

GROUP = SplitParams(method="group", group_by="near_duplicates")
FOLDS = SplitParams(method="k_fold", group_by="near_duplicates", folds=3, fold=1)
EVERY = {
    "near_duplicates": GROUP,
    "folds of near_duplicates": FOLDS,
    "none": SplitParams(method="stratified"),
    "folds": SplitParams(method="k_fold", folds=3, fold=1),
    "expression": SplitParams(group_by=r"(\w+/\w+)-\d+"),
    "column": SplitParams(group_by="column"),
}
Rows = list[dict[str, str]]


def near(rows: Rows, groups: list[list[int]]) -> pd.DataFrame:
    """The list of near-duplicates, of groups given by positions in ``rows``."""
    found = [
        {**{key: rows[i][key] for key in ("path", "sha256", "label")}, "group": min(rows[j]["sha256"] for j in group)}
        for group in groups
        if len(group) > 1
        for i in group
    ]
    return pd.DataFrame(found, columns=["path", "sha256", "label", "group"], dtype=str)


def divide(rows: Rows, groups: list[list[int]], params: SplitParams, memory: Memory) -> Split:
    return make_split(pd.DataFrame(rows), params, memory, near(rows, groups))


def places(split: Split) -> dict[str, str]:
    return {path: name for name, table in split.tables.items() for path in table["path"]}


def photograph(name: str, group: str = "") -> dict[str, str]:
    return image(f"cat/{name}.png") | {"group": group}


def series(count: int, frames: int) -> tuple[Rows, list[list[int]]]:
    rows = [photograph(f"s{g:02d}-{n}", f"film {g}") for g in range(count) for n in range(frames)]
    return rows, [list(range(g * frames, (g + 1) * frames)) for g in range(count)]


def named(rows: Rows, groups: list[list[int]], remembered: dict[str, str], join_new: bool = True) -> dict[str, str]:
    units = pd.DataFrame({"sha256": [r["sha256"] for r in rows], "unit": [r["sha256"] for r in rows]})
    return name_groups(units, near(rows, groups), remembered, join_new, lambda name: ()).names


def test_a_group_is_called_by_its_smallest_hash_and_an_image_alone_by_its_own() -> None:
    rows, groups = series(2, 3)
    rows.append(photograph("alone-0"))
    names = named(rows, groups, {})
    assert names[rows[-1]["sha256"]] == rows[-1]["sha256"]
    assert {names[row["sha256"]] for row in rows[:3]} == {min(row["sha256"] for row in rows[:3])}


@st.composite
def arrivals(draw: st.DrawFn) -> list[tuple[Rows, list[list[int]]]]:
    """Data as it grows: images that are alone, or like one series or several, which become one."""
    rows, groups = series(draw(st.integers(9, 14)), 2)
    stages = [(rows, groups)]
    for batch in range(draw(st.integers(1, 3))):
        for number in range(draw(st.integers(0, 6))):
            rows = [*rows, photograph(f"n{batch}{number}-0", f"new {batch} {number % 2}")]
            chosen = draw(st.lists(st.integers(0, len(groups) - 1), max_size=3, unique=True))
            member = [i for position in chosen for i in groups[position]]
            rest = [group for position, group in enumerate(groups) if position not in chosen]
            groups = [*rest, [*member, len(rows) - 1]]
        stages.append((rows, groups))
    return stages


@pytest.mark.parametrize("params", EVERY.values(), ids=EVERY)
@settings(max_examples=15, deadline=None)
@given(stages=arrivals())
def test_growth_moves_no_image(params: SplitParams, stages: list[tuple[Rows, list[list[int]]]]) -> None:
    memory, before = Memory(), dict[str, str]()
    for rows, groups in stages:
        split = divide(rows, groups, params, memory)
        memory, now = split.memory, places(split)
        assert {path: now[path] for path in before} == before
        assert sorted(now) == sorted(row["path"] for row in rows)
        before = now


@pytest.mark.parametrize("name", [name for name in EVERY if name != "column"])
@settings(max_examples=15, deadline=None)
@given(stages=arrivals())
def test_b11_what_arrives_and_is_like_training_images_is_no_test_image(
    name: str, stages: list[tuple[Rows, list[list[int]]]]
) -> None:
    """Whatever the grouping: in test it was 13.7 % of the images. Folds have no side that is training's own."""
    memory, before = Memory(), dict[str, str]()
    for rows, groups in stages:
        split = divide(rows, groups, EVERY[name], memory)
        memory, now = split.memory, places(split)
        for group in groups if before else []:
            old = {before[rows[i]["path"]] for i in group if rows[i]["path"] in before}
            new = {now[rows[i]["path"]] for i in group if rows[i]["path"] not in before}
            assert len(new) <= 1
            if new and len(old) == 1:
                assert new == old
            elif new and old and "folds" not in name:
                assert new == {next(part for part in ("train", "val", "test") if part in old)}
        before = now


def test_b11_a_group_that_arrives_goes_whole_to_the_part_that_it_is_like() -> None:
    rows, groups = series(20, 3)
    params = EVERY["column"]
    first = divide(rows, groups, params, Memory())
    here = places(first)
    for part in ("train", "val", "test"):
        position = next(i for i, row in enumerate(rows) if here[row["path"]] == part)
        # Nine groups, so that chance would send one elsewhere; one frame of each is like a known one.
        grown, links = list(rows), [list(group) for group in groups]
        for film in range(9):
            links[position // 3].append(len(grown))
            grown += [photograph(f"{part}{film}-{n}", f"{part} {film}") for n in range(3)]
        there = places(divide(grown, links, params, first.memory))
        assert {there[row["path"]] for row in grown[len(rows) :]} == {part}
        assert {path: there[path] for path in here} == here


@pytest.mark.parametrize("order", [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
def test_b11_frames_of_old_films_land_the_same_in_whatever_order_they_arrive(order: list[int]) -> None:
    params = EVERY["none"]
    rows, groups = series(20, 1)
    first = divide(rows, groups, params, Memory())
    here = places(first)
    memory, grown, links = first.memory, list(rows), [list(group) for group in groups]
    for film in order:
        links[film].append(len(grown))
        grown = [*grown, photograph(f"later{film}-0")]
        split = divide(grown, links, params, memory)
        memory = split.memory
    there = places(split)
    assert [there[f"cat/later{film}-0.png"] for film in range(3)] == [here[rows[film]["path"]] for film in range(3)]


@pytest.mark.parametrize("by", ["none", "near_duplicates"])
def test_b11_other_limits_move_nothing(by: str) -> None:
    """12 of 20 images that had joined test went to train, or the split was refused for good."""
    rows, groups = series(30, 1)
    first = divide(rows, groups, EVERY[by], Memory())
    here = places(first)
    tests = [i for i, row in enumerate(rows) if here[row["path"]] == "test"]
    grown = [*rows, *(photograph(f"later{n}-0") for n in range(20))]
    twins = {n: tests[n % len(tests)] for n in range(20)}
    alike = [[i, *(30 + n for n, twin in twins.items() if twin == i)] for i in range(30)]
    second = divide(grown, alike, EVERY[by], first.memory)
    there = places(second)
    assert {there[row["path"]] for row in grown[30:]} == {"test"}
    # Stricter limits find no two alike, looser ones find all of test and one image of train alike.
    train = next(i for i in range(30) if here[rows[i]["path"]] == "train")
    for found in ([], [[*tests, *range(30, 50), train]]):
        assert places(divide(grown, found, EVERY[by], second.memory)) == there


def test_b11_a_split_that_was_made_without_near_duplicates_moves_nothing_with_them() -> None:
    rows, groups = series(30, 2)
    params = EVERY["none"]
    old = make_split(pd.DataFrame(rows), params)
    here = places(old)
    second = divide(rows, groups, params, old.memory)
    assert places(second) == here
    at = next(i for i, group in enumerate(groups) if {here[rows[j]["path"]] for j in group} == {"train"})
    grown = [*rows, *(photograph(f"later{n}-0") for n in range(20))]
    links = [[*group, *range(60, 80)] if i == at else group for i, group in enumerate(groups)]
    there = places(divide(grown, links, params, second.memory))
    assert {there[row["path"]] for row in grown[60:]} == {"train"}


def test_an_image_that_joins_two_groups_moves_neither_and_the_rule_sees_it() -> None:
    rows, groups = series(20, 3)
    first = divide(rows, groups, GROUP, Memory())
    assert first.summary["groups_joined_later"] == []
    here = places(first)
    in_train = next(g for g in groups if here[rows[g[0]]["path"]] == "train")
    in_test = next(g for g in groups if here[rows[g[0]]["path"]] == "test")
    grown = [*rows, photograph("between-0")]
    merged = [*(g for g in groups if g not in (in_train, in_test)), [*in_train, *in_test, len(rows)]]
    second = divide(grown, merged, GROUP, first.memory)
    there = places(second)
    assert {path: there[path] for path in here} == here
    assert there["cat/between-0.png"] == "train"
    names = first.memory.names[naming_key(GROUP.seed, GROUP.group_by)]
    assert second.summary["groups_joined_later"] == [
        sorted({names[rows[in_train[0]]["sha256"]], names[rows[in_test[0]]["sha256"]]})
    ]
    images = pd.DataFrame([{"path": path, "split": split} for path, split in there.items()])
    components = near(grown, merged).set_index("path")["group"].to_dict()
    leaking = images.loc[near_duplicates_across(images, components) != "", "path"]
    assert {rows[i]["path"] for i in in_test} == set(leaking)


def test_an_image_whose_group_fell_apart_or_that_was_away_keeps_its_name() -> None:
    rows, groups = series(3, 3)
    names = named(rows, groups, {})
    assert named(rows, groups[1:], names) == names
    away = named(rows[3:], [[0, 1, 2]], names)
    assert named(rows, groups[1:], away) == names


def test_another_seed_or_grouping_is_another_set_of_names() -> None:
    keys = {
        naming_key(13, "near_duplicates"),
        naming_key(14, "near_duplicates"),
        naming_key(13, "none"),
        naming_key(13, "(.+)-"),
    }
    assert len(keys) == 4


def test_without_groups_near_duplicates_cannot_be_kept_together() -> None:
    with pytest.raises(GraftError, match="no groups of near-duplicates were given"):
        make_split(pd.DataFrame(series(20, 1)[0]), GROUP)
