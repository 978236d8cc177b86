"""The line of champions: who was in production, since when and why, as tags of the registered model.

MLflow knows which version an alias names, not which it named before. So each change leaves a tag of its own on the
registered model, ``champions.<time>-<random>``, with an :class:`Entry` as JSON. Keys sort by time, no two writers
share one, and everybody who uses the tracking server sees the same line.

The alias ``champion`` is the truth about the present; the entries are the truth about the past. An entry is written
before the alias is moved (``begun``) and marked afterwards (``done``), so that a change that was cut off anywhere can
be told from one that was not, see :mod:`graft.promotion.change`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from graft.registry.aliases import CHAMPION, PREVIOUS_CHAMPION

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

PREFIX = "champions."
# MLflow's column for the value of such a tag has 5000 characters; the rest of an entry needs less than 2000.
MAX_REASON = 1000
_TIME = "%Y%m%dT%H%M%S.%fZ"

Action = Literal["promoted", "rolled back", "found"]


@dataclass(frozen=True)
class Entry:
    """One change of champion.

    Attributes:
        key: of its tag.
        action: ``promoted``; ``rolled back`` to an earlier champion; or ``found``: the alias had been moved by
            something else than graft, and this is the first that graft saw of it.
        state: ``begun`` until everything that belongs to the change is done.
        version: the champion after it.
        before: the champion before it, or None.
        at: when, UTC, ISO 8601.
        by: the user's name on the machine that did it.
        writer: who holds the entry while it is begun, see :func:`graft.promotion.change.writer_id`.
        reason: why, in the user's words; may be "".
        forced: promoted without a passing verdict.
        verdict: what the gate had said: ``sha256`` of the verdict, ``passed``, names of the rules ``failed``; empty
            where there was none.
        strategy, run_id, commit, data: of the version; "" where not known. ``data`` is DVC's hash.
        uncommitted: it was trained from ``commit`` with changes that, as far as is known, no commit holds.
        figures: of the version on the test split, by name.
    """

    key: str
    action: Action
    state: Literal["begun", "done"]
    version: str
    before: str | None
    at: str
    by: str
    writer: str
    reason: str = ""
    forced: bool = False
    verdict: dict[str, Any] = field(default_factory=dict)
    strategy: str = ""
    run_id: str = ""
    commit: str = ""
    uncommitted: bool = False
    data: str = ""
    figures: dict[str, float] = field(default_factory=dict)

    def done(self) -> Entry:
        """The same, with nothing left to do."""
        return replace(self, state="done")

    @property
    def age(self) -> timedelta:
        """Since it was begun, by this machine's clock."""
        return datetime.now(UTC) - datetime.fromisoformat(self.at)


@dataclass(frozen=True)
class Line:
    """The registry's view of one model at one moment, read in one go.

    Attributes:
        model: its name.
        aliases: versions by alias.
        entries: all changes, oldest first, whether done or begun.
    """

    model: str
    aliases: Mapping[str, str]
    entries: tuple[Entry, ...]

    @property
    def champion(self) -> str | None:
        """The version in production."""
        return self.aliases.get(CHAMPION)

    @property
    def previous(self) -> str | None:
        """The version that the alias of the previous champion names."""
        return self.aliases.get(PREVIOUS_CHAMPION)

    @property
    def begun(self) -> tuple[Entry, ...]:
        """The changes that were not finished."""
        return tuple(entry for entry in self.entries if entry.state == "begun")

    @property
    def happened(self) -> tuple[Entry, ...]:
        """The changes that took place: all that are done, and of those begun the one whose champion is in place."""
        return tuple(
            entry for entry in self.entries if entry.state == "done" or entry.version == self.champion
        )

    def stack(self) -> list[str]:
        """Champions that a rollback would walk down, the present one last.

        A promotion puts its version on top; a rollback takes away everything above the version that it restored.
        """
        stack: list[str] = []
        for entry in self.happened:
            if entry.action == "rolled back" and entry.version in stack[:-1]:
                while len(stack) > 1:
                    stack.pop()
                    if stack[-1] == entry.version:
                        break
            elif stack[-1:] != [entry.version]:
                stack.append(entry.version)
        return stack


def read_line(client: MlflowClient, model: str) -> Line:
    """What the registry says now; a model that is not there has an empty line."""
    from mlflow.exceptions import MlflowException

    try:
        registered = client.get_registered_model(model)
    except MlflowException as error:
        if not is_missing(error):
            raise
        return Line(model, {}, ())
    entries = [
        Entry(key=key, **json.loads(value))
        for key, value in sorted(registered.tags.items())
        if key.startswith(PREFIX)
    ]
    aliases = {alias: str(version) for alias, version in registered.aliases.items()}
    return Line(model, aliases, tuple(entries))


def is_missing(error: MlflowException) -> bool:
    """Whether MLflow says that there is no such thing, rather than that it cannot answer."""
    return str(error.error_code) == "RESOURCE_DOES_NOT_EXIST"


def write_entry(client: MlflowClient, model: str, entry: Entry) -> None:
    """Writes an entry, or another state of it, in one transaction."""
    content = asdict(entry)
    del content["key"]
    client.set_registered_model_tag(model, entry.key, json.dumps(content, ensure_ascii=False))


def remove_entry(client: MlflowClient, model: str, entry: Entry) -> None:
    """Removes an entry; one that is gone already is no error."""
    client.delete_registered_model_tag(model, entry.key)


def new_key(line: Line) -> tuple[str, str]:
    """A key behind all entries of the line, and its time as ISO 8601.

    The time is now, or just after the last entry where this machine's clock is behind the one that wrote it.
    """
    now = datetime.now(UTC)
    if line.entries:
        now = max(now, datetime.fromisoformat(line.entries[-1].at) + timedelta(microseconds=1))
    return f"{PREFIX}{now.strftime(_TIME)}-{secrets.token_hex(2)}", now.isoformat()
