"""The line of champions as it is told: what changed each time, and who is champion now."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from graft.core.errors import GraftError
from graft.registry.promotion.change_champion import Registry
from graft.registry.promotion.line import REIGNS_TAG, Action, ChampionEntry, Line, rows_of


def entry(number: int, action: Action, version: str, before: str | None, **changes: Any) -> ChampionEntry:
    at = f"2026-01-{number:02d}T00:00:00+00:00"
    known: dict[str, Any] = {"strategy": "frozen", "commit": "c1", "data": "d1", "figures": {"accuracy": 0.9}}
    return ChampionEntry(action, version, before, at, "somebody", **{**known, **changes})


def line(*entries: ChampionEntry, champion: str | None = None, unrecorded: bool = False) -> Line:
    return Line("tints", {"champion": champion} if champion else {}, entries, unrecorded=unrecorded)


FIRST = entry(1, "promoted", "1", None)
SECOND = entry(2, "promoted", "2", "1", strategy="fine_tune", commit="c2", figures={"accuracy": 0.95, "log_loss": 0.1})
BACK = entry(3, "rolled back", "1", "2")


@pytest.mark.parametrize(
    ("changes", "stack"),
    [
        ([], []),
        ([("promoted", "1")], ["1"]),
        ([("promoted", "1"), ("promoted", "2")], ["1", "2"]),
        ([("promoted", "1"), ("promoted", "2"), ("rolled back", "1")], ["1"]),
        ([("promoted", "1"), ("promoted", "2"), ("promoted", "3"), ("rolled back", "1")], ["1"]),
        ([("promoted", "1"), ("promoted", "2"), ("promoted", "1"), ("rolled back", "2")], ["1", "2"]),
        ([("promoted", "1"), ("promoted", "2"), ("rolled back", "1"), ("promoted", "2")], ["1", "2"]),
        ([("found", "1"), ("promoted", "2"), ("found", "3"), ("rolled back", "2")], ["1", "2"]),
        ([("promoted", "1"), ("promoted", "2"), ("rolled back", "2")], ["1", "2"]),
    ],
)
def test_a_rollback_takes_away_what_lies_above(changes: list[tuple[Action, str]], stack: list[str]) -> None:
    entries = [entry(day + 1, action, version, None) for day, (action, version) in enumerate(changes)]
    assert line(*entries, champion=stack[-1] if stack else None).stack() == stack


def test_rows_tell_what_changed_and_who_is_champion_now() -> None:
    first, second, back = rows_of(line(FIRST, SECOND, BACK, champion="1"))
    assert (first.first, first.now, first.changed, first.gained) == (True, False, (), {})
    assert (second.first, second.now, second.changed) == (False, False, ("strategy", "commit"))
    assert second.gained == {"accuracy": pytest.approx(0.05)}  # the log loss of the first is not known
    assert (back.now, back.changed) == (True, ("strategy", "commit"))
    assert back.gained == {"accuracy": pytest.approx(-0.05)}
    assert not any(row.cut_off for row in (first, second, back))


def test_a_change_that_was_cut_off_is_marked() -> None:
    rows = rows_of(line(FIRST, SECOND, champion="2", unrecorded=True))
    assert [(row.cut_off, row.now) for row in rows] == [(False, False), (True, True)]


def test_a_champion_that_something_else_set_is_nobodys_row() -> None:
    assert not any(row.now for row in rows_of(line(FIRST, SECOND, champion="3")))
    assert not any(row.now for row in rows_of(line(FIRST, SECOND)))


def test_rows_are_json() -> None:
    (row,) = rows_of(line(FIRST, champion="1"))
    content = json.loads(json.dumps(row.as_dict()))
    assert content["version"] == "1"
    assert content["now"] is True


def test_an_entry_comes_behind_all_that_is_there_whatever_the_clock_says() -> None:
    ahead = replace(FIRST, at="2100-01-01T00:00:00+00:00")
    assert datetime.fromisoformat(line(ahead).next_time()) > datetime.fromisoformat(ahead.at)
    assert line().next_time() < line(ahead).next_time()


@pytest.mark.parametrize(
    ("changes", "rolled_back"),
    [
        ([("promoted", "1"), ("promoted", "2")], []),
        ([("promoted", "1"), ("promoted", "2"), ("rolled back", "1")], ["2"]),
        ([("promoted", "1"), ("promoted", "2"), ("rolled back", "1"), ("promoted", "3")], ["2"]),
        ([("promoted", "1"), ("promoted", "2"), ("rolled back", "1"), ("promoted", "2")], []),
        (
            [("promoted", "1"), ("promoted", "2"), ("promoted", "3"), ("rolled back", "2"), ("rolled back", "1")],
            ["2", "3"],
        ),
    ],
)
def test_b5_the_line_tells_what_a_person_took_out_of_production(
    changes: list[tuple[Action, str]], rolled_back: list[str]
) -> None:
    before: list[str | None] = [None, *(version for _, version in changes)]
    entries = [entry(day + 1, *one, before[day]) for day, one in enumerate(changes)]
    found = line(*entries, champion=changes[-1][1])
    assert [version for version in "123" if found.rollback_of(version)] == rolled_back


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[1]", '[{"version": "1"}]', '{"at": "yesterday"}', "null", "[" * 100_000),
        # Times without a zone cannot be sorted among those with one; a version is text.
        '[{"action": "promoted", "version": "1", "before": null, "at": "2026-01-01T00:00:00", "by": "a"}]',
        '[{"action": "promoted", "version": 1, "before": null, "at": "2026-01-01T00:00:00+00:00", "by": "a"}]',
    ],
    ids=lambda text: text[:60],
)
def test_a_tag_that_holds_something_else_is_named(registry: Registry, text: str) -> None:
    registry.client.set_model_version_tag(registry.model, "1", REIGNS_TAG, text)
    with pytest.raises(GraftError, match=r"tag champion.reigns of version 1 is not what graft writes there"):
        registry.line()
