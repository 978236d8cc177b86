"""Changing the champion: whatever is killed, and whoever else does the same, there is one champion and one line."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from promoter import opened

from graft.errors import GraftError
from graft.project import Project
from graft.promotion.change import LEASE, Registry, change_steps, make_entry, settle
from graft.promotion.line import Entry, write_entry
from graft.promotion.promote import promote, roll_back

PROMOTER = Path(__file__).with_name("promoter.py")
STEPS = ["announce", "give_way", "move", "tag", "follow", "close"]
MOVED = STEPS.index("move") + 1  # killed before this step or a later one, the change has happened


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROMOTER), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, "")
    return output


def state(registry: Registry) -> tuple[str | None, str | None, list[str]]:
    line = registry.line()
    return line.champion, line.previous, line.stack()


def begun(registry: Registry, version: str, **changes: object) -> Entry:
    """An announcement that its writer did nothing more about."""
    entry = replace(
        make_entry(registry, registry.line(), "promoted", version, "lost", forced=True), **changes
    )
    write_entry(registry.client, registry.model, entry)
    return entry


def test_the_steps_are_those_that_the_kills_below_count(registry: Registry) -> None:
    entry = make_entry(registry, registry.line(), "promoted", "1", "")
    assert [step.__name__ for step in change_steps(registry, entry)] == STEPS


@pytest.fixture
def homes(home: Project, tmp_path: Path) -> Callable[[], list[Path]]:
    """As many copies of the project as there are moments to be killed at: before each step, and after the last."""

    def copy() -> list[Path]:
        folders = [tmp_path / "copies" / str(number) for number in range(len(STEPS) + 1)]
        for folder in folders:
            folder.mkdir(parents=True)
            shutil.copy(home.home / "mlflow.db", folder)
        return folders

    return copy


@pytest.mark.slow
@pytest.mark.parametrize("action", ["promote", "roll back"])
def test_a_kill_before_any_step_leaves_one_champion_and_the_next_command_settles_it(
    registry: Registry, homes: Callable[[], list[Path]], action: str
) -> None:
    promote(registry, "1", "the first", forced=True)
    if action == "promote":
        before, after = ("1", None, ["1"]), ("2", "1", ["1", "2"])
    else:
        promote(registry, "3", "the second", forced=True)
        before, after = ("3", "1", ["1", "3"]), ("1", None, ["1"])
    folders = homes()
    killed = finish(start("kills", action, *folders)).splitlines()
    assert killed == [f"{step} {int(signal.SIGKILL)}" for step in range(len(STEPS) + 1)]
    for step, folder in enumerate(folders):
        left = opened(folder)
        champion, _, stack = state(left)
        expected = after if step >= MOVED else before
        assert (champion, stack) == (expected[0], expected[2])
        with left.locked():
            line, notes = settle(left)
        assert state(left) == expected
        assert not line.begun
        # Announced and not finished is told; before the announcement and after the end there is nothing to tell.
        assert len(notes) == (1 if 0 < step < len(STEPS) else 0)
        assert len(line.entries) == len(before[2]) + (step >= MOVED)
        if step >= MOVED:
            assert line.entries[-1].reason == "about to be killed"
            tags = left.client.get_model_version(left.model, "2" if action == "promote" else "3").tags
            assert tags["promoted.why" if action == "promote" else "rolled_back.why"] == "about to be killed"


@pytest.mark.slow
def test_processes_killed_at_any_moment_leave_one_champion(registry: Registry, home: Project) -> None:
    promote(registry, "1", "the first", forced=True)
    rounds = [json.loads(line) for line in finish(start("storm", home.home, 15, 7)).splitlines()]
    assert len(rounds) == 15
    for found in rounds:
        assert found["champion_found"] == found["champion"] == found["stack"][-1]
        assert found["begun"] == 0
        assert found["begun_found"] <= 1
        assert len(found["notes"]) == found["begun_found"]
        earlier = [version for version in found["stack"] if version != found["champion"]]
        assert found["previous"] == (earlier[-1] if earlier else None)
    assert rounds[-1]["entries"] > 5


@pytest.mark.slow
def test_two_promoters_at_once_never_show_none_or_two(registry: Registry, home: Project) -> None:
    promote(registry, "1", "the first", forced=True)
    seen: list[list[str]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            aliases = registry.client.get_registered_model(registry.model).aliases
            seen.append([str(version) for alias, version in aliases.items() if alias == "champion"])
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    racers = [start("race", home.home, *order, 50) for order in (("2", "3"), ("3", "2"))]
    watcher.start()
    try:
        assert [finish(racer) for racer in racers] == ["finished\n"] * 2
    finally:
        ended.set()
        watcher.join()
        for racer in racers:
            racer.kill()
    assert len(seen) > 50
    assert {len(champions) for champions in seen} == {1}
    assert {champions[0] for champions in seen} >= {"2", "3"}
    line = registry.line()
    assert not line.begun
    # Each began where the one before it had ended: no promotion went unseen by the next.
    assert [entry.before for entry in line.entries] == [None, *(entry.version for entry in line.entries[:-1])]
    assert len(line.entries) > 50
    assert line.champion == line.entries[-1].version
    assert line.previous == line.stack()[-2]


def test_an_announcement_of_this_project_is_settled_at_once(registry: Registry) -> None:
    promote(registry, "1", "the first", forced=True)
    begun(registry, "2")
    changed = promote(registry, "3", "another", forced=True)
    assert len(changed.settled) == 1
    assert "version 2 was being promoted" in changed.settled[0]
    assert "taken back" in changed.settled[0]
    assert state(registry) == ("3", "1", ["1", "3"])


def test_somebody_elses_change_is_left_alone_until_it_must_be_dead(registry: Registry) -> None:
    promote(registry, "1", "the first", forced=True)
    entry = begun(registry, "2", writer="somebody")
    for change in (lambda: promote(registry, "3", "", True), lambda: roll_back(registry)):
        with pytest.raises(GraftError, match=r"reason|from another checkout or machine"):
            change()
    with pytest.raises(GraftError, match="from another checkout or machine"):
        promote(registry, "3", "mine", forced=True)
    assert registry.line().begun == (entry,)
    old = (datetime.now(UTC) - LEASE - timedelta(seconds=1)).isoformat()
    write_entry(registry.client, registry.model, replace(entry, at=old))
    promote(registry, "3", "mine", forced=True)
    assert state(registry) == ("3", "1", ["1", "3"])


def test_of_two_that_announce_at_once_none_goes_on_unseen(registry: Registry) -> None:
    """Both had found the line settled; whoever looks again sees the other and takes his own announcement back."""
    promote(registry, "1", "the first", forced=True)
    mine = make_entry(registry, registry.line(), "promoted", "2", "mine", forced=True)
    theirs = begun(registry, "3", writer="somebody")
    announce, give_way, *_ = change_steps(registry, mine)
    announce()
    with pytest.raises(GraftError, match="from another checkout or machine"):
        give_way()
    assert registry.line().begun == (theirs,)
    assert registry.line().champion == "1"


def test_a_champion_that_something_else_set_enters_the_line(registry: Registry) -> None:
    registry.client.set_registered_model_alias(registry.model, "champion", "1")
    changed = promote(registry, "2", "better", forced=True)
    assert changed.settled == []  # there was no line before: nothing to be surprised at
    first, second = registry.line().entries
    assert (first.action, first.version, first.before, first.strategy) == ("found", "1", None, "s1")
    assert (second.action, second.version, second.before) == ("promoted", "2", "1")

    registry.client.set_registered_model_alias(registry.model, "champion", "4")
    changed = roll_back(registry, "what is 4?")
    assert "moved to version 4 by something else" in changed.settled[0]
    assert state(registry) == ("2", "1", ["1", "2"])
    assert [entry.action for entry in registry.line().entries] == [
        "found",
        "promoted",
        "found",
        "rolled back",
    ]
