"""The line of champions: who was in production, since when and why, as tags of the versions.

MLflow knows which version an alias names, not which it named before. So each version that becomes champion gets the
tag ``champion.reigns``: a JSON list with an :class:`ChampionEntry` for each time. Sorted by time they are the line, and
everybody who uses the tracking server sees the same one.

The alias ``champion`` is the truth about the present; the tags are the truth about the past. How both are changed
together is described in :mod:`graft.registry.promotion.change_champion`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from graft.core.errors import GraftError
from graft.core.params.models import Params
from graft.core.project import Project
from graft.registry.aliases import CHAMPION, PREVIOUS_CHAMPION, registered_name
from graft.registry.store.read_registry import RegistryReader, read_registry

REIGNS_TAG = "champion.reigns"
# On the champion: what its deliveries have shown, in sentences; "" for nothing. See
# graft.registry.promotion.delivery_evidence.
SHOWN_TAG = "gate.shown"
# On the registered model while a change is under way, see graft.registry.promotion.change_champion.
CHANGE_PREFIX = "champion.change."
# An entry has to fit into a tag of the registered model, whose column has 5000 characters; the rest takes 2000.
MAX_REASON = 1000

Action = Literal["promoted", "rolled back", "found"]


@dataclass(frozen=True)
class ChampionEntry:
    """One change of champion.

    Attributes:
        action: ``promoted``; ``rolled back`` to an earlier champion; or ``found``: the alias had been moved by
            something else than graft, and this is the first that graft saw of it.
        version: the champion after it.
        before: the champion before it, or None.
        at: when, UTC, ISO 8601.
        by: the user's name on the machine that did it.
        reason: why, in the user's words; may be "".
        forced: promoted without a passing verdict.
        verdict: what the gate had said: ``sha256`` of the verdict, ``passed``, names of the rules ``failed``; empty
            where there was none.
        strategy, run_id, commit, data: of the version; "" where not known. ``data`` is DVC's hash.
        uncommitted: it was trained from ``commit`` with changes that, as far as is known, no commit holds.
        figures: of the version on the test split, by name.
    """

    action: Action
    version: str
    before: str | None
    at: str
    by: str
    reason: str = ""
    forced: bool = False
    verdict: dict[str, Any] = field(default_factory=dict)
    strategy: str = ""
    run_id: str = ""
    commit: str = ""
    uncommitted: bool = False
    data: str = ""
    figures: dict[str, float] = field(default_factory=dict)

    def text(self) -> str:
        """Return the entry as JSON on one line."""
        return json.dumps(asdict(self), ensure_ascii=False)


@dataclass(frozen=True)
class Line:
    """The registry's view of one model at one moment.

    Attributes:
        model: its name.
        aliases: versions by alias.
        entries: the changes that took place, oldest first.
        changing: the tags of changes under way or cut off, by key, as they are.
        unrecorded: the last of ``entries`` is on no version yet: its change is under way, or was cut off.
    """

    model: str
    aliases: Mapping[str, str]
    entries: tuple[ChampionEntry, ...]
    changing: Mapping[str, str] = field(default_factory=dict)
    unrecorded: bool = False

    @property
    def champion(self) -> str | None:
        """The version in production."""
        return self.aliases.get(CHAMPION)

    @property
    def previous(self) -> str | None:
        """The version that the alias of the previous champion names."""
        return self.aliases.get(PREVIOUS_CHAMPION)

    def stack(self) -> list[str]:
        """Return the champions that a rollback would walk down, the present one last.

        A promotion puts its version on top; a rollback takes away everything above the version that it restored.
        """
        stack: list[str] = []
        for entry in self.entries:
            if entry.action == "rolled back" and entry.version in stack[:-1]:
                while len(stack) > 1:
                    stack.pop()
                    if stack[-1] == entry.version:
                        break
            elif stack[-1:] != [entry.version]:
                stack.append(entry.version)
        return stack

    def rollback_of(self, version: str) -> ChampionEntry | None:
        """Return the rollback that took ``version`` out of production, where nothing has brought it back since."""
        found = None
        for entry in self.entries:
            if entry.action == "rolled back" and entry.before == version:
                found = entry
            elif entry.version == version:
                found = None
        return found

    def next_time(self) -> str:
        """Return now as ISO 8601, or just after the last entry where this machine's clock is behind its writer's."""
        now = datetime.now(UTC)
        if self.entries:
            now = max(now, datetime.fromisoformat(self.entries[-1].at) + timedelta(microseconds=1))
        return now.isoformat(timespec="microseconds")


def read_line(registry: RegistryReader, model: str) -> Line:
    """Return what the registry says now; a model that is not there has an empty line.

    Raises:
        GraftError: a tag holds something else than graft writes there.
    """
    registered = registry.model(model)
    if registered is None:
        return Line(model, {}, ())
    changing = {key: value for key, value in registered.tags.items() if key.startswith(CHANGE_PREFIX)}
    entries: list[ChampionEntry] = []
    for version in registry.versions_with(model, REIGNS_TAG):
        entries += read_reigns(version.tags[REIGNS_TAG], version.version)
    entries.sort(key=lambda entry: datetime.fromisoformat(entry.at))
    under_way = [entry for key, value in changing.items() if (entry := announced(value, key))]
    moved = [one for one in under_way if one.version == registered.aliases.get(CHAMPION) and one not in entries]
    return Line(model, registered.aliases, (*entries, *moved), changing, bool(moved))


def read_champions(project: Project, params: Params) -> tuple[Line, str]:
    """Return the line of the project's model, and what deliveries have shown of its champion, ``""`` for nothing.

    Raises:
        GraftError: as of :func:`read_line`; or the registry cannot be reached.
    """
    registry = read_registry(project)
    line = read_line(registry, registered_name(project, params.register_))
    champion = registry.version(line.model, line.champion) if line.champion else None
    return line, "" if champion is None else champion.tags.get(SHOWN_TAG, "")


def read_reigns(text: str, version: str) -> list[ChampionEntry]:
    """Return the entries in a version's tag. Raises GraftError where it holds something else."""
    where = f"{REIGNS_TAG} of version {version}"
    try:
        reigns = json.loads(text)
    except (ValueError, RecursionError):
        reigns = None
    if not isinstance(reigns, list):
        raise _unreadable(where)
    return [read_entry(json.dumps(one), where) for one in reigns]


def read_entry(text: str, where: str) -> ChampionEntry:
    """Return the entry in a tag, fields of a later graft left out. Raises GraftError where it holds something else."""
    known = {one.name for one in fields(ChampionEntry)}
    try:
        entry = ChampionEntry(**{name: value for name, value in json.loads(text).items() if name in known})
        texts = (entry.action, entry.version, entry.before or "", entry.by, entry.reason)
        if not all(isinstance(text, str) for text in texts) or datetime.fromisoformat(entry.at).tzinfo is None:
            raise TypeError
        if not isinstance(entry.verdict, dict) or not isinstance(entry.figures, dict):
            raise TypeError
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise _unreadable(where) from None
    return entry


def announced(text: str, where: str) -> ChampionEntry | None:
    """Return the change that a tag of :mod:`graft.registry.promotion.change_champion` announces; None where it only
    holds the lock.
    """
    return read_entry(text, where) if '"version"' in text else None


def _unreadable(where: str) -> GraftError:
    return GraftError(
        f"MLflow's tag {where} is not what graft writes there", "Restore it, or delete it in MLflow's pages"
    )


COMPARED = ("strategy", "commit", "data")


@dataclass(frozen=True)
class Row:
    """One change of champion.

    Attributes:
        entry: as it was written.
        now: its version is champion since this change.
        cut_off: it is under way, or was cut off; then the next promotion or rollback finishes it.
        first: there was none before it.
        changed: which of strategy, commit and data differ from the champion before.
        gained: by figure, its value less that of the champion before, where both are known.
    """

    entry: ChampionEntry
    now: bool
    cut_off: bool
    first: bool
    changed: tuple[str, ...]
    gained: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return the entry's fields, and this class's beside them, for JSON."""
        return {
            **asdict(self.entry),
            "now": self.now,
            "cut_off": self.cut_off,
            "changed": list(self.changed),
            "gained": self.gained,
        }


def rows_of(line: Line) -> list[Row]:
    """Return the changes, oldest first; the last is the present one, if its version still is champion."""
    rows = []
    before: ChampionEntry | None = None
    for entry in line.entries:
        changed: tuple[str, ...] = ()
        gained: dict[str, float] = {}
        if before is not None:
            changed = tuple(name for name in COMPARED if getattr(entry, name) != getattr(before, name))
            gained = {
                name: value - before.figures[name] for name, value in entry.figures.items() if name in before.figures
            }
        last = entry is line.entries[-1]
        now = last and entry.version == line.champion
        rows.append(Row(entry, now, last and line.unrecorded, before is None, changed, gained))
        before = entry
    return rows
