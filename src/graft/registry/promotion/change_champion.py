"""Change the champion, so that no kill and no second promoter leaves none, two, or a change without a record.

A change takes these steps, each one transaction of MLflow's:

1. *lock*: a tag of its own on the registered model, ``champion.change.<random>``;
2. *announce*: the same tag now holds the whole entry;
3. *move*: the alias ``champion``. MLflow replaces the row of an alias within one transaction, so there is one champion
   before, during and after: this step alone decides whether the change has happened;
4. *record*: the entry and what MLflow's pages show go onto the version; the alias ``previous_champion`` follows;
5. *unlock*: the tag goes.

Whoever takes the lock next finishes what was cut off after step 3, and drops what was cut off before it.

The lock works with every store, SQLite, PostgreSQL or a server, since it needs no more than transactions that come one
after the other. Each writes its own tag before it reads those of others, so of two at least one sees the other and
takes its tag back. A tag that stays the same while it is watched for ``PATIENCE`` belongs to nobody any more: its
owner moves no alias once ``PATIENCE / 2`` are over. No two clocks are compared.
"""

from __future__ import annotations

import getpass
import json
import random
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from graft.core.errors import GraftError
from graft.registry.aliases import CHAMPION, PREVIOUS_CHAMPION
from graft.registry.promotion.line import (
    CHANGE_PREFIX,
    REIGNS_TAG,
    Action,
    ChampionEntry,
    Line,
    announced,
    read_line,
    read_reigns,
)
from graft.registry.store.reachable import no_longer_than
from graft.registry.store.read_registry import ClientReader, is_missing

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Seconds. A change takes a fraction of one; over a slow server, a few.
PATIENCE = 20.0
_WAIT = 90.0


@dataclass(frozen=True)
class Registry:
    """One model of MLflow's registry, as one project changes it.

    Attributes:
        client: of the store.
        model: the model's name.
    """

    client: MlflowClient
    model: str

    def line(self) -> Line:
        """Return the line of champions as it is now."""
        return read_line(ClientReader(self.client), self.model)

    def exists(self, version: str) -> bool:
        """Return whether the registry has the version (still)."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.get_model_version(self.model, version)
        except MlflowException as error:
            if not is_missing(error):
                raise
            return False
        return True

    @contextmanager
    def changing(self) -> Iterator[Change]:
        """Hold the champion's lock for the length of the block; what others left undone is completed or undone first.

        Raises:
            GraftError: somebody else has held the lock for more than a minute.
        """
        change = _take_lock(self)
        try:
            change.complete_interrupted()
            yield change
        finally:
            self.client.delete_registered_model_tag(self.model, change.key)


@dataclass
class Change:
    """The right to change the champion, as long as :meth:`Registry.changing` holds the lock.

    Attributes:
        registry: whose champion.
        key: of the tag that is the lock.
        line: as it is.
        settled: a sentence for each thing that had been cut off and was completed or undone first.
        since: when the tag was written, by the clock on the wall, which goes on while a machine sleeps.
    """

    registry: Registry
    key: str
    line: Line
    settled: list[str]
    since: float

    def make_entry(self, action: Action, version: str, reason: str, **facts: Any) -> ChampionEntry:
        """Return the entry of a change from the present champion to ``version``; ``facts`` as Entry has them."""
        described = describe(self.registry.client, self.registry.model, version)
        at, by = self.line.next_time(), getpass.getuser()
        return ChampionEntry(action, version, self.line.champion, at, by, reason, **{**described, **facts})

    def carry_out(self, entry: ChampionEntry) -> None:
        """Make the change. Raises GraftError where the lock was held for too long to be sure of it."""
        registry = self.registry
        registry.client.set_registered_model_tag(registry.model, self.key, entry.text())
        if not 0 <= time.time() - self.since <= PATIENCE / 2:
            raise GraftError(
                f"Changing the champion of '{registry.model}' took too long, and was given up before anything changed",
                "Run the command again",
            )
        with no_longer_than(PATIENCE / 2):
            registry.client.set_registered_model_alias(registry.model, CHAMPION, entry.version)
        self.record(entry)

    def record(self, entry: ChampionEntry) -> None:
        """Write an entry onto its version, and what follows from it; may be repeated."""
        registry = self.registry
        tags = registry.client.get_model_version(registry.model, entry.version).tags
        entries = read_reigns(tags.get(REIGNS_TAG, "[]"), entry.version)
        if entry not in entries:
            text = f"[{', '.join(one.text() for one in (*entries, entry))}]"
            self._tag(entry.version, {REIGNS_TAG: text})
        if entry.action == "rolled back":
            self._tag(entry.before, {"rolled_back.at": entry.at, "rolled_back.why": entry.reason})
        else:
            passed = f"passed, sha256 {entry.verdict['sha256']}" if entry.verdict else "none"
            told = {"at": entry.at, "why": entry.reason, "verdict": "forced" if entry.forced else passed}
            told |= {"commit": entry.commit, "data": entry.data}
            self._tag(entry.version, {f"promoted.{name}": value for name, value in told.items()})
        self.line = registry.line()
        self._follow()

    def _follow(self) -> None:
        """Set the alias of the previous champion to what the line says."""
        client, model = self.registry.client, self.registry.model
        previous = next(earlier_champions(self.registry, self.line), None)
        if previous == self.line.previous:
            return
        if previous is None:
            client.delete_registered_model_alias(model, PREVIOUS_CHAMPION)
        else:
            client.set_registered_model_alias(model, PREVIOUS_CHAMPION, previous)
        self.line = self.registry.line()

    def complete_interrupted(self) -> None:
        """Finish or drop what was cut off, and enter a champion that something else than graft has set."""
        dead = {key: text for key, text in self.line.changing.items() if key != self.key}
        for key, text in dead.items():
            if entry := announced(text, key):
                what = f"version {entry.version} was being {entry.action} at {entry.at[:19]} UTC and was cut off"
                if entry.version == self.line.champion:
                    self.record(entry)
                    self.settled.append(f"{what}: it is champion, and what was missing is done now")
                else:
                    self.settled.append(f"{what}: dropped, nothing had changed")
            self.registry.client.delete_registered_model_tag(self.registry.model, key)
        if dead:
            self.line = self.registry.line()
        stack, champion = self.line.stack(), self.line.champion
        if champion is not None and stack[-1:] != [champion]:
            before = stack[-1] if stack else None
            self.record(replace(self.make_entry("found", champion, ""), before=before))
            if stack:
                self.settled.append(
                    f"the alias {CHAMPION} was moved to version {champion} by something else than graft"
                )
        self._follow()

    def _tag(self, version: str | None, tags: dict[str, str]) -> None:
        if version is not None and self.registry.exists(version):
            for name, value in tags.items():
                self.registry.client.set_model_version_tag(self.registry.model, version, name, value)


def complete_interrupted(registry: Registry) -> tuple[Line, list[str]]:
    """Complete or undo a change that was cut off; return the line as it is then, and a sentence for each thing done."""
    line = registry.line()
    if not line.aliases and not line.entries and not line.changing:
        return line, []  # there may be no such model yet, to keep the lock's tag
    with registry.changing() as change:
        return change.line, change.settled


def earlier_champions(registry: Registry, line: Line) -> Iterator[str]:
    """Yield the champions before the present one, the latest first; versions that were deleted are left out."""
    stack = line.stack()
    if stack[-1:] == [line.champion]:
        stack.pop()
    for version in reversed(stack):
        if version != line.champion and registry.exists(version):
            yield version


def describe(client: MlflowClient, model: str, version: str) -> dict[str, Any]:
    """Return what an entry says about a version: strategy, run, what it was made from, figures on the test split."""
    from mlflow.exceptions import MlflowException

    registered = client.get_model_version(model, version)
    facts = {"strategy": registered.tags.get("strategy", ""), "run_id": registered.run_id or ""}
    if not registered.run_id:
        return facts  # a version can be made without a run, by other programs
    try:
        run = client.get_run(registered.run_id).data
    except MlflowException as error:
        if not is_missing(error):
            raise
        return facts  # deleted since
    figures = {
        name: run.metrics[f"test_{name}"]
        for name in ("accuracy", "macro_f1", "log_loss")
        if f"test_{name}" in run.metrics
    }
    return {
        **facts,
        "commit": run.tags.get("git.commit", ""),
        "uncommitted": run.tags.get("git.dirty") == "yes",
        "data": run.tags.get("dvc.data", ""),
        "figures": figures,
    }


def _take_lock(registry: Registry) -> Change:
    client, model = registry.client, registry.model
    key, started, told = f"{CHANGE_PREFIX}{secrets.token_hex(8)}", time.monotonic(), False
    watched: dict[tuple[str, str], float] = {}

    def held_by_others() -> tuple[Line, bool]:
        nonlocal watched
        line, now = registry.line(), time.monotonic()
        watched = {tag: watched.get(tag, now) for tag in line.changing.items() if tag[0] != key}
        return line, any(now - first < PATIENCE for first in watched.values())

    while True:
        line, held = held_by_others()
        if not held:
            since = time.time()
            # Not the same twice: others watch whether it changes.
            mine = json.dumps({"by": getpass.getuser(), "try": secrets.token_hex(4)})
            client.set_registered_model_tag(model, key, mine)
            line, held = held_by_others()
            if not held:
                return Change(registry, key, line, [], since)
            client.delete_registered_model_tag(model, key)
        if time.monotonic() - started > _WAIT:
            raise GraftError(
                f"Another process has been changing the champion of '{model}' for more than {_WAIT:.0f} seconds",
                "Wait until it has ended, or end it: what it leaves undone is settled by the next command",
            )
        if time.monotonic() - started > 2 and not told:
            print(f"Waiting for another process that changes the champion of '{model}'", file=sys.stderr, flush=True)
            told = True
        time.sleep(random.uniform(0.02, 0.3))
