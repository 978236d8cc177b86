"""Changing the champion, so that no kill and no second promoter leaves none, two, or a change nobody knows of.

A change is a list of steps, each one transaction of MLflow's:

1. its entry is written as ``begun``: the announcement;
2. the line is read again: whoever sees another's announcement takes back his own, so that of two who announce at
   once at most one goes on (each writes before it reads, so at least one of them sees the other);
3. the alias ``champion`` is moved. MLflow replaces the row of an alias within one transaction, so there is one champion
   before, during and after: this step alone decides whether the change has happened;
4. the versions are tagged, the alias ``previous_champion`` follows the line, and the entry is marked ``done``. All
   of this follows from the first three steps and may be repeated.

:func:`settle` comes before any change: what was cut off before step 3 is taken back, what was cut off after it is
finished. Processes of one project queue at a file lock, so a begun entry of this project's is one whose writer is
dead. One of another checkout or machine may be alive: it is left alone for ``LEASE``.
"""

from __future__ import annotations

import getpass
import hashlib
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.errors import GraftError
from graft.promotion.line import (
    Action,
    Entry,
    Line,
    is_missing,
    new_key,
    read_line,
    remove_entry,
    write_entry,
)
from graft.registry.aliases import CHAMPION, PREVIOUS_CHAMPION

if TYPE_CHECKING:
    from mlflow import MlflowClient

# A change takes a fraction of a second; whoever has not finished after this long will not.
LEASE = timedelta(minutes=2)
_LOCK_SECONDS = 60

Step = Callable[[], None]


@dataclass(frozen=True)
class Registry:
    """One model of MLflow's registry, as one project changes it.

    Attributes:
        client: of the store.
        model: the model's name.
        state: the project's folder for the lock, see :class:`graft.project.Project`.
    """

    client: MlflowClient
    model: str
    state: Path

    @property
    def writer(self) -> str:
        """Tells changes of this project on this machine from those of others; discloses neither name nor path."""
        return hashlib.sha256(f"{socket.gethostname()}\n{self.state.resolve()}".encode()).hexdigest()[:12]

    def line(self) -> Line:
        return read_line(self.client, self.model)

    def exists(self, version: str) -> bool:
        """Whether the registry has the version (still)."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.get_model_version(self.model, version)
        except MlflowException as error:
            if not is_missing(error):
                raise
            return False
        return True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Waits until no other process of this project changes the champion.

        Raises:
            GraftError: that took longer than a minute.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.state / "promotion.lock")
        try:
            lock.acquire(timeout=_LOCK_SECONDS, poll_interval=0.01)
        except Timeout:
            raise GraftError(
                f"Another process has been changing the champion for more than {_LOCK_SECONDS} seconds "
                f"(it holds {lock.lock_file})",
                "Wait until it has ended, or end it: what it leaves undone is settled by the next command",
            ) from None
        try:
            yield
        finally:
            lock.release()


def change_steps(registry: Registry, entry: Entry) -> list[Step]:
    """What makes ``entry`` happen, in order; see the module's text."""
    client, model = registry.client, registry.model

    def announce() -> None:
        write_entry(client, model, entry)

    def give_way() -> None:
        if [other for other in registry.line().begun if other.key != entry.key]:
            remove_entry(client, model, entry)
            raise _under_way(model)

    def move() -> None:
        client.set_registered_model_alias(model, CHAMPION, entry.version)

    return [announce, give_way, move, *_closing_steps(registry, entry)]


def make_entry(
    registry: Registry, line: Line, action: Action, version: str, reason: str, **facts: Any
) -> Entry:
    """The announcement of a change from the line's champion to ``version``; ``facts`` as :class:`Entry` has them."""
    key, at = new_key(line)
    return Entry(
        key=key,
        action=action,
        state="begun",
        version=version,
        before=line.champion,
        at=at,
        by=getpass.getuser(),
        writer=registry.writer,
        reason=reason,
        **{**describe(registry.client, registry.model, version), **facts},
    )


def settle(registry: Registry) -> tuple[Line, list[str]]:
    """Finishes or takes back what was cut off, and enters a champion that something else than graft has set.

    To be called with the lock held.

    Returns:
        The line as it is then, and a sentence for each thing that was done.

    Raises:
        GraftError: somebody else is changing the champion right now.
    """
    client, model = registry.client, registry.model
    line = registry.line()
    notes = []
    for entry in line.begun:
        if entry.writer != registry.writer and entry.age < LEASE:
            raise _under_way(model)
        what = f"version {entry.version} was being {entry.action} at {entry.at[:19]} UTC and was cut off"
        if entry.version == line.champion:
            for step in _closing_steps(registry, entry):
                step()
            notes.append(f"{what}: it is champion, and what was missing is done now")
        else:
            remove_entry(client, model, entry)
            notes.append(f"{what}: taken back, nothing had changed")
    if notes:
        line = registry.line()
    stack = line.stack()
    if line.champion is not None and stack[-1:] != [line.champion]:
        found = make_entry(registry, line, "found", line.champion, "")
        write_entry(client, model, replace(found, state="done", before=stack[-1] if stack else None))
        if stack:
            notes.append(
                f"the alias {CHAMPION} was moved to version {line.champion} by something else than graft"
            )
        line = registry.line()
    return _follow(registry, line), notes


def earlier_champions(registry: Registry, line: Line) -> Iterator[str]:
    """Champions before the present one, the latest first; versions that were deleted are left out."""
    stack = line.stack()
    if stack[-1:] == [line.champion]:
        stack.pop()
    for version in reversed(stack):
        if version != line.champion and registry.exists(version):
            yield version


def describe(client: MlflowClient, model: str, version: str) -> dict[str, Any]:
    """What an entry says about a version: strategy, run_id, where it was made from, and figures on the test split."""
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


def _closing_steps(registry: Registry, entry: Entry) -> list[Step]:
    """What is left once the alias is moved; may be repeated."""

    def tag() -> None:
        _tag_versions(registry, entry)

    def follow() -> None:
        _follow(registry, registry.line())

    def close() -> None:
        write_entry(registry.client, registry.model, entry.done())

    return [tag, follow, close]


def _tag_versions(registry: Registry, entry: Entry) -> None:
    """Writes onto the versions what MLflow's pages show beside them."""
    if entry.action == "rolled back":
        version, tags = entry.before, {"rolled_back.at": entry.at, "rolled_back.why": entry.reason}
    else:
        version = entry.version
        tags = {
            "promoted.at": entry.at,
            "promoted.why": entry.reason,
            "promoted.verdict": "forced"
            if entry.forced
            else f"passed, sha256 {entry.verdict.get('sha256', '')}",
            "promoted.commit": entry.commit,
            "promoted.data": entry.data,
        }
    if version is not None and registry.exists(version):
        for name, value in tags.items():
            registry.client.set_model_version_tag(registry.model, version, name, value)


def _follow(registry: Registry, line: Line) -> Line:
    """Sets the alias of the previous champion to what the line says; returns the line with it."""
    previous = next(earlier_champions(registry, line), None)
    if previous == line.previous:
        return line
    if previous is None:
        registry.client.delete_registered_model_alias(registry.model, PREVIOUS_CHAMPION)
    else:
        registry.client.set_registered_model_alias(registry.model, PREVIOUS_CHAMPION, previous)
    return registry.line()


def _under_way(model: str) -> GraftError:
    return GraftError(
        f"The champion of '{model}' is being changed from another checkout or machine at this moment",
        "Look at `graft history`, and run the command again if it is still needed",
    )
