"""Growing data moves nothing: properties of splits, over data sets that Hypothesis makes up."""

import random
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_splitting import image, images

from graft.core.errors import GraftError
from graft.core.params.models import SplitParams
from graft.core.project import SPLITS
from graft.data.splits.assignment import Draw, assign, quotas
from graft.data.splits.numbered_images import Names
from graft.data.splits.split_images import Split, make_split
from graft.data.splits.split_memory import Memory

Rows = list[dict[str, str]]
MANY = settings(max_examples=20, deadline=None)
FEW = settings(max_examples=10, deadline=None)
METHODS = [
    SplitParams(method="stratified"),
    SplitParams(method="stratified", test_size=0.4, val_size=0.5, seed=3),
    SplitParams(method="k_fold", folds=3, fold=1),
    SplitParams(method="group", group_by="column"),
    SplitParams(method="k_fold", group_by="column", folds=4, fold=3),
]


@st.composite
def arrivals(draw: st.DrawFn) -> list[Rows]:
    """Batches of images as they arrive: each brings new classes, new groups, more of old groups, or copies."""
    batches: list[Rows] = []
    known: dict[str, list[str]] = {}  # groups by class
    number = 0
    for _ in range(draw(st.integers(2, 4))):
        batch: Rows = []
        new = draw(st.integers(1 if not known else 0, 2))
        for label in [f"class{len(known) + i}" for i in range(new)]:
            # A class arrives with at least as many groups as any method here has parts.
            known[label] = []
            for _ in range(draw(st.integers(5, 9))):
                known[label].append(f"{label}-group{len(known[label])}")
                batch.append({"label": label, "group": known[label][-1]})
        for label in draw(st.lists(st.sampled_from(sorted(known)), max_size=12)):
            if draw(st.booleans()):
                known[label].append(f"{label}-group{len(known[label])}")
            batch.append({"label": label, "group": draw(st.sampled_from(known[label]))})
        for row in batch:
            number += 1
            row |= image(f"{row['label']}/{number}.png")
        earlier = [row for rows in [*batches, batch] for row in rows]
        for row in draw(st.lists(st.sampled_from(earlier), max_size=3)):
            number += 1
            batch.append({**row, "path": f"{row['label']}/copy{number}.png"})
        batches.append(draw(st.permutations(batch)))
    return batches


def grow(batches: list[Rows], params: SplitParams) -> Iterator[tuple[Rows, Split]]:
    rows: Rows = []
    memory = Memory()
    for batch in batches:
        rows = [*rows, *batch]
        split = make_split(pd.DataFrame(rows), params, memory)
        memory = split.memory
        yield rows, split


def places(split: Split, column: str) -> dict[str, str]:
    return {key: name for name, table in split.tables.items() for key in table[column]}


@pytest.mark.parametrize("params", METHODS, ids=lambda params: f"{params.method}-{params.group_by}")
@MANY
@given(batches=arrivals())
def test_growth_moves_nothing(params: SplitParams, batches: list[Rows]) -> None:
    seen: dict[str, dict[str, str]] = {"path": {}, "sha256": {}, "group": {}}
    for rows, split in grow(batches, params):
        labels = {row["label"] for row in rows}
        for column, before in seen.items():
            now = places(split, column)
            assert {key: now[key] for key in before} == before
            seen[column] = now
        # Disjoint and complete, copies and groups together, every class everywhere.
        assert sorted(seen["path"]) == sorted(row["path"] for row in rows)
        for column in ("sha256", "group"):
            parts = [set(table[column]) for table in split.tables.values()]
            assert sum(map(len, parts)) == len(set.union(*parts))
        assert all(set(table["label"]) == labels for table in split.tables.values())


@MANY
@given(batches=arrivals(), seed=st.integers())
def test_rows_in_any_order_give_the_same_tables(batches: list[Rows], seed: int) -> None:
    rows = [row for batch in batches for row in batch]
    shuffled = random.Random(seed).sample(rows, len(rows))
    first, second = (make_split(pd.DataFrame(order), METHODS[3]) for order in (rows, shuffled))
    assert all(first.tables[name].equals(second.tables[name]) for name in SPLITS)
    assert first.memory == second.memory


@FEW
@given(batches=arrivals())
def test_folds_stay_a_partition_as_the_data_grows(batches: list[Rows]) -> None:
    memory = Memory()
    before: dict[str, int] = {}
    rows: Rows = []
    for batch in batches:
        rows = [*rows, *batch]
        folds: dict[str, int] = {}
        for fold in range(3):
            split = make_split(pd.DataFrame(rows), SplitParams(method="k_fold", folds=3, fold=fold), memory)
            memory = split.memory
            assert not folds.keys() & set(split.tables["test"]["path"])
            folds |= dict.fromkeys(split.tables["test"]["path"], fold)
        assert sorted(folds) == sorted(row["path"] for row in rows)
        assert before.items() <= folds.items()
        before = folds


@FEW
@given(order=st.permutations(range(8)))
def test_large_classes_need_no_memory_and_no_order_of_arrival(order: list[int]) -> None:
    batches = [images(f"{label}/{i}", 25) for i in range(4) for label in ("cat", "dog")]
    whole = places(make_split(pd.DataFrame([row for batch in batches for row in batch]), METHODS[0]), "path")
    rows: Rows = []
    for index in order:
        rows = [*rows, *batches[index]]
        if min(sum(row["label"] == label for row in rows) for label in ("cat", "dog")) == 100:
            assert places(make_split(pd.DataFrame(rows), METHODS[0]), "path").items() <= whole.items()
    assert places(make_split(pd.DataFrame(rows), METHODS[0]), "path") == whole


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_within_four_standard_deviations(seed: int) -> None:
    tables = make_split(pd.DataFrame(images("cat", 2000)), SplitParams(method="stratified", seed=seed)).tables
    assert abs(len(tables["test"]) - 400) < 4 * (2000 * 0.2 * 0.8) ** 0.5
    assert abs(len(tables["val"]) - 240) < 4 * (1600 * 0.15 * 0.85) ** 0.5


@MANY
@given(batches=arrivals(), data=st.data())
def test_copies_in_other_groups_take_nothing_out_of_test(batches: list[Rows], data: st.DataObject) -> None:
    for batch in batches[1:]:
        for row in data.draw(st.lists(st.sampled_from(batches[0]), max_size=4)):
            others = sorted({other["group"] for other in batches[0] if other["label"] == row["label"]})
            path = f"{row['label']}/astray{len(batch)}.png"
            batch.append({**row, "path": path, "group": data.draw(st.sampled_from(others))})
    tested: set[str] = set()
    groups: dict[str, str] = {}
    try:
        for _, split in grow(batches, METHODS[3]):
            digests = [set(table["sha256"]) for table in split.tables.values()]
            assert sum(map(len, digests)) == len(set.union(*digests))
            assert tested <= set(split.tables["test"]["sha256"])
            now = places(split, "group")
            assert all(now.get(group, place) == place for group, place in groups.items())
            tested, groups = set(split.tables["test"]["sha256"]), groups | now
    except GraftError as error:
        assert "copies" in str(error) or "no image of its own" in str(error)


@st.composite
def people(draw: st.DrawFn) -> list[dict[str, list[str]]]:
    """Growing groups that hold images of several classes, as people who show several signs do."""
    groups: dict[str, list[str]] = {}
    stages = []
    for _ in range(3):
        for _ in range(draw(st.integers(3, 12))):
            groups[f"person{len(groups)}"] = draw(st.lists(st.sampled_from("abcd"), min_size=1, unique=True))
        for person in draw(st.lists(st.sampled_from(sorted(groups)), max_size=4)):
            groups[person] = sorted({*groups[person], draw(st.sampled_from("abcd"))})
        stages.append(dict(groups))
    return stages


def assigned_by(groups: dict[str, list[str]], draw: Draw, memory: Memory) -> tuple[dict[str, int], Memory]:
    """The part of every group, by name; ``groups`` says which classes each holds images of."""
    names, labels = sorted(groups), sorted({label for held in groups.values() for label in held})
    pairs = [(names.index(n), labels.index(label)) for n in names for label in sorted(set(groups[n]))]
    group, label = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    parts, memory = assign(Names(pd.array(names, dtype="str")), labels, group, label, draw, memory)
    return dict(zip(names, parts.tolist(), strict=True)), memory


@MANY
@given(stages=people(), share=st.sampled_from([0.1, 0.3, 0.5]))
def test_groups_of_several_classes_do_not_move_either(stages: list[dict[str, list[str]]], share: float) -> None:
    draw = Draw("test", [share, 1 - share], [1, 1], ["test", "train"], seed=1)
    memory, before = Memory(), dict[str, int]()
    for groups in stages:
        try:
            assigned, memory = assigned_by(groups, draw, memory)
        except GraftError:
            continue  # refused, and nothing remembered
        assert before.items() <= assigned.items()
        before = assigned
        for label in "abcd":
            parts = {assigned[group] for group, labels in groups.items() if label in labels}
            assert parts in ({0, 1}, set())


def test_a_settled_class_that_loses_a_part_is_refused_rather_than_moved() -> None:
    rows = images("cat", 30)
    split = make_split(pd.DataFrame(rows), METHODS[0])
    kept = [row for row in rows if row["path"] not in set(split.tables["val"]["path"])]
    with pytest.raises(GraftError, match="what is assigned does not move"):
        make_split(pd.DataFrame(kept), METHODS[0], split.memory)


def test_another_data_set_with_a_class_of_the_same_name_is_settled_for_itself() -> None:
    memory = make_split(pd.DataFrame(images("cat", 30)), METHODS[0]).memory
    others = pd.DataFrame([image(f"cat/{i}.png", content=f"another {i}") for i in range(5)])
    split = make_split(others, METHODS[0], memory)
    assert all(len(table) >= 1 for table in split.tables.values())


def test_other_settings_are_settled_apart() -> None:
    rows = pd.DataFrame(images("cat", 12))
    first = make_split(rows, METHODS[0])
    other = make_split(rows, SplitParams(method="stratified", seed=99), first.memory)
    again = make_split(rows, METHODS[0], other.memory)
    assert all(first.tables[name].equals(again.tables[name]) for name in SPLITS)
    assert places(first, "path") != places(other, "path")


@given(count=st.integers(0, 500), weights=st.lists(st.floats(0.01, 1), min_size=1, max_size=6), least=st.integers(0, 3))
def test_quotas_add_up_and_are_near_their_shares(count: int, weights: list[float], least: int) -> None:
    count += least * len(weights)
    shares = [weight / sum(weights) for weight in weights]
    found = quotas(count, shares, [least] * len(shares))
    assert sum(found) == count
    assert min(found) >= least
    if all(count * share >= least for share in shares):
        assert all(abs(n - count * share) < 1 for n, share in zip(found, shares, strict=True))
