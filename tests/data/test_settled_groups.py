"""Groups of near-duplicates as the data grows: no image moves, also where a new one joins two old groups."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_splitting import image

from graft.data.assignment import Memory
from graft.data.near_duplicates import Limits
from graft.data.settled_groups import (
    draw_key,
    read_settled_groups,
    settle_groups,
    write_settled_groups,
)
from graft.data.split_expectations import near_duplicates_across
from graft.data.splitting import Split, make_split
from graft.errors import GraftError
from graft.params.models import SplitParams

GROUP = SplitParams(method="group", group_by="near_duplicates")
FOLDS = SplitParams(method="k_fold", group_by="near_duplicates", folds=3, fold=1)


def near(rows: list[dict[str, str]], groups: list[list[int]]) -> pd.DataFrame:
    """The list of near-duplicates, of groups given by positions in ``rows``."""
    found = [
        {
            **{key: rows[i][key] for key in ("path", "sha256", "label")},
            "group": min(rows[j]["sha256"] for j in group),
        }
        for group in groups
        if len(group) > 1
        for i in group
    ]
    return pd.DataFrame(found, columns=["path", "sha256", "label", "group"], dtype=str)


def divide(
    rows: list[dict[str, str]],
    groups: list[list[int]],
    params: SplitParams,
    memory: Memory,
    names: dict[str, str],
) -> tuple[Split, dict[str, str], list[list[str]]]:
    manifest = pd.DataFrame(rows)
    found = settle_groups(manifest, near(rows, groups), names)
    by_path = dict(zip(manifest["path"], manifest["sha256"].map(found.names), strict=True))
    return make_split(manifest, params, memory, by_path), found.names, found.joined


def places(split: Split) -> dict[str, str]:
    return {path: name for name, table in split.tables.items() for path in table["path"]}


def series(count: int, frames: int) -> tuple[list[dict[str, str]], list[list[int]]]:
    rows = [image(f"cat/{group:02d}-{number}.png") for group in range(count) for number in range(frames)]
    return rows, [list(range(group * frames, (group + 1) * frames)) for group in range(count)]


def test_a_group_is_called_by_its_smallest_hash_and_an_image_alone_by_its_own() -> None:
    rows, groups = series(2, 3)
    rows.append(image("cat/alone.png"))
    names = settle_groups(pd.DataFrame(rows), near(rows, groups), {}).names
    assert names[rows[-1]["sha256"]] == rows[-1]["sha256"]
    assert {names[row["sha256"]] for row in rows[:3]} == {min(row["sha256"] for row in rows[:3])}


@pytest.mark.parametrize("params", [GROUP, FOLDS], ids=["group", "k_fold"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_growth_moves_no_image(params: SplitParams, data: st.DataObject) -> None:
    """Batches of images that are alone, or join one group or several, which become one."""
    rows, groups = series(data.draw(st.integers(9, 14)), 2)
    memory, names = Memory(), {}
    before: dict[str, str] = {}
    for batch in range(data.draw(st.integers(2, 4))):
        split, names, _ = divide(rows, groups, params, memory, names)
        memory = split.memory
        now = places(split)
        assert {path: now[path] for path in before} == before
        assert sorted(now) == sorted(row["path"] for row in rows)
        before = now
        for number in range(data.draw(st.integers(0, 5))):
            rows = [*rows, image(f"cat/new{batch}-{number}.png")]
            chosen = data.draw(st.lists(st.integers(0, len(groups) - 1), max_size=3, unique=True))
            joined = [member for position in chosen for member in groups[position]]
            rest = [group for position, group in enumerate(groups) if position not in chosen]
            groups = [*rest, [*joined, len(rows) - 1]]


def test_an_image_that_joins_two_groups_moves_neither_and_the_rule_sees_it() -> None:
    rows, groups = series(20, 3)
    first, names, joined = divide(rows, groups, GROUP, Memory(), {})
    assert joined == []
    here = places(first)
    in_train = next(g for g in groups if here[rows[g[0]]["path"]] == "train")
    in_test = next(g for g in groups if here[rows[g[0]]["path"]] == "test")
    grown = [*rows, image("cat/between.png")]
    merged = [*(g for g in groups if g not in (in_train, in_test)), [*in_train, *in_test, len(rows)]]
    second, new_names, joined = divide(grown, merged, GROUP, first.memory, names)
    there = places(second)
    assert {path: there[path] for path in here} == here
    assert joined == [sorted({names[rows[in_train[0]]["sha256"]], names[rows[in_test[0]]["sha256"]]})]
    assert new_names[grown[-1]["sha256"]] in joined[0]
    images = pd.DataFrame([{"path": path, "split": split} for path, split in there.items()])
    components = near(grown, merged).set_index("path")["group"].to_dict()
    leaking = images.loc[near_duplicates_across(images, components) != "", "path"]
    assert (
        {rows[i]["path"] for i in in_test}
        <= set(leaking)
        <= {rows[i]["path"] for i in in_test} | {"cat/between.png"}
    )


def test_an_image_whose_group_fell_apart_or_that_was_away_keeps_its_name() -> None:
    rows, groups = series(3, 3)
    names = settle_groups(pd.DataFrame(rows), near(rows, groups), {}).names
    apart = settle_groups(pd.DataFrame(rows), near(rows, groups[1:]), names)
    assert apart.names == names
    away = settle_groups(pd.DataFrame(rows[3:]), near(rows[3:], [[0, 1, 2]]), names)
    assert settle_groups(pd.DataFrame(rows), near(rows, groups[1:]), away.names).names == names


def test_names_survive_the_way_through_their_file(tmp_path: Path) -> None:
    path = tmp_path / "split" / "settled_groups.csv"
    assert read_settled_groups(path) == {}
    settled = {draw_key(Limits(4, 0.02), 13): {"b" * 64: "a" * 64, "a" * 64: "a" * 64}, "other": {"c": "c"}}
    write_settled_groups(settled, path)
    assert read_settled_groups(path) == settled
    write_settled_groups({}, path)
    assert read_settled_groups(path) == {}
    path.write_text("a,b\n")
    with pytest.raises(GraftError, match="Restore it with `dvc checkout split`"):
        read_settled_groups(path)


def test_another_seed_or_limit_is_another_draw() -> None:
    keys = {draw_key(Limits(4, 0.02), 13), draw_key(Limits(4, 0.02), 14), draw_key(Limits(3, 0.02), 13)}
    assert len(keys) == 3


def test_without_groups_near_duplicates_cannot_be_kept_together() -> None:
    with pytest.raises(GraftError, match="no groups of near-duplicates were given"):
        make_split(pd.DataFrame(series(20, 1)[0]), GROUP)
