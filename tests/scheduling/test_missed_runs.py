"""Of runs that have piled up, one is executed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from graft.scheduling.deployments import split_missed

THREE = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)


def run(hours: float, by_clock: bool = True) -> SimpleNamespace:
    return SimpleNamespace(expected_start_time=THREE + timedelta(hours=hours), auto_scheduled=by_clock)


def test_the_last_one_stands_in_for_those_before() -> None:
    nights = [run(48), run(0), run(24)]
    stands_in, missed = split_missed(nights)
    assert stands_in is nights[0]
    assert missed == [nights[1], nights[2]]


def test_what_a_person_asked_for_is_never_called_off() -> None:
    asked = [run(0, by_clock=False), run(1, by_clock=False)]
    assert split_missed(asked) == (None, [])
    stands_in, missed = split_missed([*asked, run(-5), run(-4)])
    assert stands_in.expected_start_time == run(-4).expected_start_time
    assert [one.expected_start_time for one in missed] == [run(-5).expected_start_time]


def test_a_single_one_is_left_alone() -> None:
    only = run(0)
    assert split_missed([only]) == (only, [])
    assert split_missed([]) == (None, [])
