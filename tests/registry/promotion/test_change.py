"""Changing the champion: whatever is killed, and whoever else does the same, there is one champion and one line."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from promoter import before_each_write, opened
from services import mlflow_server, postgresql

from graft.core.errors import GraftError
from graft.core.processes import end_tree
from graft.core.project import Project
from graft.registry.aliases import CHAMPION
from graft.registry.promotion import change_champion as change
from graft.registry.promotion.change_champion import Registry, complete_interrupted
from graft.registry.promotion.line import CHANGE_PREFIX, REIGNS_TAG, ChampionEntry
from graft.registry.promotion.promote import promote, roll_back

PROMOTER = Path(__file__).with_name("promoter.py")


def start(*arguments: object, store: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, str(PROMOTER), *map(str, arguments)]
    environment = {**os.environ, **({"GRAFT_TEST_STORE": store} if store else {})}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> str:
    try:
        output, errors = process.communicate(timeout=900)
    except BaseException:
        end_tree(process.pid)
        raise
    # Whoever has waited for more than two seconds says so.
    told = [line for line in errors.splitlines() if not line.startswith("Waiting for another process")]
    assert (process.returncode, told) == (0, [])
    return output


def state(registry: Registry) -> tuple[str | None, str | None, list[str]]:
    line = registry.line()
    return line.champion, line.previous, line.stack()


def settled_at_once(registry: Registry) -> list[str]:
    """Settles what is left by somebody who is known to be dead; returns what was said about it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(change, "PATIENCE", 0.0)
        return complete_interrupted(registry)[1]


def held(registry: Registry, entry: ChampionEntry | None = None) -> str:
    """The lock as somebody else left it: taken, or with the change announced."""
    key = f"{CHANGE_PREFIX}0000"
    text = entry.text() if entry else '{"by": "somebody"}'
    registry.client.set_registered_model_tag(registry.model, key, text)
    return key


def entry_for(registry: Registry, version: str) -> ChampionEntry:
    with registry.changing() as mine:
        return mine.make_entry("promoted", version, "lost", forced=True)


@pytest.mark.slow
@pytest.mark.parametrize("action", ["promote", "roll back"])
def test_a_kill_before_any_write_leaves_one_champion_and_the_next_command_settles_it(
    registry: Registry, home: Project, tmp_path: Path, action: str
) -> None:
    promote(registry, "1", "the first", forced=True)
    if action == "promote":
        before, after = ("1", None, ["1"]), ("2", "1", ["1", "2"])
    else:
        promote(registry, "3", "the second", forced=True)
        before, after = ("3", "1", ["1", "3"]), ("1", None, ["1"])
    folders = [tmp_path / "copies" / str(number) for number in range(12)]
    for folder in folders:
        folder.mkdir(parents=True)
        shutil.copy(home.home / "mlflow.db", folder)
    writes = [json.loads(line) for line in finish(start("kills", action, *folders)).splitlines()]
    assert ["the end"] in writes  # every write of a change has been died before
    names = [write[0] for write in writes]
    moves = names.index("set_registered_model_alias")
    assert [write[0] for write in writes[: moves + 1]] == [
        "set_registered_model_tag",  # the lock
        "set_registered_model_tag",  # the announcement
        "set_registered_model_alias",
    ]
    for number, folder in enumerate(folders):
        left = opened(folder)
        champion, _, stack = state(left)
        expected = after if number > moves else before
        assert (champion, stack) == (expected[0], expected[2])
        notes = settled_at_once(left)
        assert state(left) == expected
        line = left.line()
        assert not line.changing
        # Announced and not finished is told; before the announcement and after the end there is nothing to tell.
        assert len(notes) == (1 if moves <= number < names.index("the end") else 0)
        assert len(line.entries) == len(before[2]) + (number > moves)
        if number > moves:
            assert line.entries[-1].reason == "about to be killed"
            tags = left.client.get_model_version(left.model, "2" if action == "promote" else "3").tags
            assert tags["promoted.why" if action == "promote" else "rolled_back.why"] == "about to be killed"


@pytest.mark.slow
def test_processes_killed_at_any_moment_leave_one_champion(registry: Registry, home: Project) -> None:
    promote(registry, "1", "the first", forced=True)
    rounds = [json.loads(line) for line in finish(start("storm", home.home, 6, 7)).splitlines()]
    assert len(rounds) == 6
    for found in rounds:
        assert found["champion_found"] == found["champion"] == found["stack"][-1]
        assert found["changing"] == 0
        assert found["changing_found"] <= 1
        assert len(found["notes"]) <= found["changing_found"]
        earlier = [version for version in found["stack"] if version != found["champion"]]
        assert found["previous"] == (earlier[-1] if earlier else None)
    assert rounds[-1]["entries"] > 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["SQLite", "PostgreSQL", "a tracking server"])
def test_two_machines_at_once_never_show_none_or_two(
    store: Path, tmp_path: Path, no_outside_settings: None, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Two projects that share nothing but the store promote at once, while a third looks on."""
    database = Path(shutil.copy(store, tmp_path))
    with contextlib.ExitStack() as stack:
        if kind == "PostgreSQL":
            uri = stack.enter_context(postgresql()).address
        elif kind == "a tracking server":
            uri = stack.enter_context(mlflow_server(f"sqlite:///{database}", str(tmp_path / "files"), {})).address
        else:
            uri = f"sqlite:///{database}"
        monkeypatch.setenv("GRAFT_TEST_STORE", uri)
        registry = opened(tmp_path / "onlooker")
        if kind == "PostgreSQL":
            registry.client.create_registered_model(registry.model)
            for number in range(3):
                registry.client.create_model_version(registry.model, f"file:///nowhere/{number}")
        promote(registry, "1", "the first", forced=True)
        seen: list[str | None] = []
        ended = threading.Event()

        def watch() -> None:
            while not ended.is_set():
                aliases = registry.client.get_registered_model(registry.model).aliases
                seen.append(aliases.get("champion"))
                time.sleep(0.01)

        watcher = threading.Thread(target=watch)
        racers = [
            start("race", tmp_path / f"machine {number}", *order, 6, store=uri)
            for number, order in enumerate((("2", "3"), ("3", "2")))
        ]
        watcher.start()
        try:
            promotions = [int(finish(racer)) for racer in racers]
        finally:
            ended.set()
            watcher.join()
            for racer in racers:
                racer.kill()
        assert len(seen) > 20
        assert None not in seen
        assert {str(version) for version in seen} >= {"2", "3"}
        line = registry.line()
        assert not line.changing
        # Each began where the one before it had ended: no promotion went unseen by the next, and none was lost.
        assert [entry.before for entry in line.entries] == [None, *(entry.version for entry in line.entries[:-1])]
        assert len(line.entries) == 1 + sum(promotions)
        assert min(promotions) > 0
        assert line.champion == line.entries[-1].version
        assert line.previous == line.stack()[-2]


class Clock:
    """Stands for the module ``time``: five seconds pass with each wait, and none otherwise."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1e9

    def sleep(self, seconds: float) -> None:
        self.now += 5


def test_whoever_holds_the_lock_is_waited_for_and_taken_for_dead_once_nothing_moves(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    promote(registry, "1", "the first", forced=True)
    lost = held(registry, entry_for(registry, "2"))
    monkeypatch.setattr(change, "time", Clock())
    with monkeypatch.context() as patch:
        patch.setattr(change, "_WAIT", 10)
        for changed in (lambda: promote(registry, "3", "mine", forced=True), lambda: roll_back(registry)):
            with pytest.raises(GraftError, match="Another process has been changing the champion of 'tints'"):
                changed()
    assert list(registry.line().changing) == [lost]
    assert registry.line().champion == "1"
    capsys.readouterr()
    changed = promote(registry, "3", "mine", forced=True)
    assert capsys.readouterr().err == "Waiting for another process that changes the champion of 'tints'\n"
    assert "version 2 was being promoted" in changed.settled[0]
    assert "dropped, nothing had changed" in changed.settled[0]
    assert state(registry) == ("3", "1", ["1", "3"])


def test_a_lock_that_moves_belongs_to_somebody_alive(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of others that take the lock in turns: what stays the same is dead, what changes is not."""
    promote(registry, "1", "the first", forced=True)
    entry = entry_for(registry, "2")
    looks: list[int] = []
    read = Registry.line

    def looked(registry: Registry) -> Any:
        looks.append(len(looks))
        held(registry, replace(entry, reason=str(len(looks))))
        return read(registry)

    monkeypatch.setattr(change, "time", Clock())
    monkeypatch.setattr(Registry, "line", looked)
    with pytest.raises(GraftError, match="Another process has been changing"), registry.changing():
        raise AssertionError("not reached")
    assert len(looks) > 90 / 5


def test_of_two_that_take_the_lock_at_once_none_goes_on_unseen(registry: Registry) -> None:
    """Both had found it free; whoever looks again sees the other and takes his own tag back."""
    promote(registry, "1", "the first", forced=True)
    written: list[str] = []

    def other_too(name: str, arguments: tuple[Any, ...]) -> None:
        written.append(name)
        if len(written) == 1:
            held(registry)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(change, "_WAIT", 4)
        patch.setattr(change, "time", Clock())
        mine = replace(registry, client=type(registry.client)(registry.client.tracking_uri))
        before_each_write(mine, other_too)
        with pytest.raises(GraftError, match="Another process has been changing"):
            promote(mine, "2", "mine", forced=True)
    assert written == ["set_registered_model_tag", "delete_registered_model_tag"]
    assert registry.line().champion == "1"


def test_a_machine_that_slept_with_the_lock_moves_nothing(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    promote(registry, "1", "the first", forced=True)
    with (
        pytest.raises(GraftError, match="took too long, and was given up before anything changed"),
        registry.changing() as mine,
    ):
        entry = mine.make_entry("promoted", "2", "")
        mine.since -= change.PATIENCE
        mine.carry_out(entry)
    assert state(registry) == ("1", None, ["1"])
    assert not registry.line().changing


def test_l10_the_call_that_moves_the_alias_gives_up_while_the_lock_still_holds(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    monkeypatch.delenv(names[0], raising=False)  # other commands of this process set it
    monkeypatch.setenv(names[1], "3")
    seen: list[tuple[str, ...]] = []
    really = type(registry.client).set_registered_model_alias

    def move(client: Any, model: str, alias: str, version: str) -> None:
        if alias == CHAMPION:
            seen.append(tuple(os.environ[name] for name in names))
        really(client, model, alias, version)

    monkeypatch.setattr(type(registry.client), "set_registered_model_alias", move)
    promote(registry, "1", "the first", forced=True)
    ((timeout, retries),) = seen
    assert 2 * float(timeout) * (1 + int(retries)) <= change.PATIENCE / 2
    assert (os.environ.get(names[0]), os.environ[names[1]]) == (None, "3")


def test_a_change_that_was_cut_off_once_the_alias_had_moved_is_in_the_line_at_once(registry: Registry) -> None:
    promote(registry, "1", "the first", forced=True)
    entry = entry_for(registry, "2")
    held(registry, entry)
    registry.client.set_registered_model_alias(registry.model, "champion", "2")
    line = registry.line()
    assert (line.entries[-1], line.unrecorded, line.stack()) == (entry, True, ["1", "2"])
    (note,) = settled_at_once(registry)
    assert "what was missing is done now" in note
    line = registry.line()
    assert (line.entries[-1], line.unrecorded, line.previous) == (entry, False, "1")
    assert registry.client.get_model_version(registry.model, "2").tags["promoted.why"] == "lost"


def test_a_champion_that_something_else_set_enters_the_line(registry: Registry) -> None:
    registry.client.set_registered_model_alias(registry.model, "champion", "1")
    changed = promote(registry, "2", "better", forced=True)
    assert changed.settled == []  # there was no line before: nothing to be surprised at
    first, second = registry.line().entries
    assert (first.action, first.version, first.before, first.strategy) == ("found", "1", None, "s1")
    assert (second.action, second.version, second.before) == ("promoted", "2", "1")
    assert registry.client.get_model_version(registry.model, "1").tags["promoted.verdict"] == "none"

    registry.client.set_registered_model_alias(registry.model, "champion", "4")
    changed = roll_back(registry, "what is 4?")
    assert "moved to version 4 by something else" in changed.settled[0]
    assert state(registry) == ("2", "1", ["1", "2"])
    assert [entry.action for entry in registry.line().entries] == ["found", "promoted", "found", "rolled back"]


def test_each_version_carries_its_own_reigns(registry: Registry) -> None:
    for number in ("1", "2", "1"):
        promote(registry, number, f"to {number}", forced=True)
    reasons = {
        number: [one["reason"] for one in json.loads(tags[REIGNS_TAG])]
        for number in ("1", "2")
        if (tags := registry.client.get_model_version(registry.model, number).tags)
    }
    assert reasons == {"1": ["to 1", "to 1"], "2": ["to 2"]}
    assert [entry.version for entry in registry.line().entries] == ["1", "2", "1"]
    assert registry.client.get_registered_model(registry.model).tags == {}
