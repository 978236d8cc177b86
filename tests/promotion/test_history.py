"""The line of champions as it is told: what changed each time, and who is champion now."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from graft.promotion.history import rows_of
from graft.promotion.line import Action, Entry, Line, new_key


def entry(number: int, action: Action, version: str, before: str | None, **changes: Any) -> Entry:
    at = f"2026-01-{number:02d}T00:00:00+00:00"
    known: dict[str, Any] = {"strategy": "frozen", "commit": "c1", "data": "d1", "figures": {"accuracy": 0.9}}
    return Entry(
        f"champions.{number:02d}",
        action,
        "done",
        version,
        before,
        at,
        "somebody",
        "w",
        **{**known, **changes},
    )


def line(*entries: Entry, champion: str | None = None) -> Line:
    return Line("tints", {"champion": champion} if champion else {}, entries)


FIRST = entry(1, "promoted", "1", None)
SECOND = entry(
    2, "promoted", "2", "1", strategy="fine_tune", commit="c2", figures={"accuracy": 0.95, "log_loss": 0.1}
)
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


def test_what_was_only_announced_has_not_happened() -> None:
    lost = replace(SECOND, state="begun")
    assert line(FIRST, lost, champion="1").stack() == ["1"]
    assert line(FIRST, lost, champion="2").stack() == ["1", "2"]


def test_rows_tell_what_changed_and_who_is_champion_now() -> None:
    first, second, back = rows_of(line(FIRST, SECOND, BACK, champion="1"))
    assert (first.first, first.now, first.changed, first.gained) == (True, False, (), {})
    assert (second.first, second.now, second.changed) == (False, False, ("strategy", "commit"))
    assert second.gained == {"accuracy": pytest.approx(0.05)}  # the log loss of the first is not known
    assert (back.now, back.changed) == (True, ("strategy", "commit"))
    assert back.gained == {"accuracy": pytest.approx(-0.05)}
    assert not any(row.cut_off for row in (first, second, back))


def test_a_change_that_was_cut_off_is_marked() -> None:
    *_, lost = rows_of(line(FIRST, replace(SECOND, state="begun"), champion="1"))
    assert (lost.cut_off, lost.now) == (True, False)
    *_, moved = rows_of(line(FIRST, replace(SECOND, state="begun"), champion="2"))
    assert (moved.cut_off, moved.now) == (True, True)


def test_a_champion_that_something_else_set_is_nobodys_row() -> None:
    assert not any(row.now for row in rows_of(line(FIRST, SECOND, champion="3")))
    assert not any(row.now for row in rows_of(line(FIRST, SECOND)))


def test_rows_are_json_without_what_concerns_nobody() -> None:
    (row,) = rows_of(line(FIRST, champion="1"))
    content = json.loads(json.dumps(row.as_dict()))
    assert content["version"] == "1"
    assert content["now"] is True
    assert "writer" not in content


def test_keys_sort_behind_all_that_is_there_whatever_the_clock_says() -> None:
    ahead = replace(FIRST, at="2100-01-01T00:00:00+00:00", key="champions.21000101T000000.000000Z-ffff")
    key, at = new_key(line(ahead))
    assert key > ahead.key
    assert at > ahead.at
    assert new_key(line())[0] != new_key(line())[0]
