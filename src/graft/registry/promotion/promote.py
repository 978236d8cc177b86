"""Promote and roll back: check what must hold before the champion is changed, and change it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from graft.core.errors import GraftError
from graft.core.project import Project
from graft.registry.aliases import CHALLENGER
from graft.registry.promotion.change_champion import Change, Registry, earlier_champions
from graft.registry.promotion.gate_verdict import GateVerdict, fetch_verdict
from graft.registry.promotion.line import MAX_REASON, ChampionEntry, Line
from graft.registry.promotion.standing import Standing
from graft.registry.store.logged_models import files_of_version
from graft.registry.store.tracking_store import open_store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

_AGAIN = "Judge it again: graft gate"


@dataclass(frozen=True)
class Changed:
    """The result of a promotion or a rollback.

    Attributes:
        model: its name in the registry.
        entry: what was done, as it stands in the line of champions.
        settled: sentences about earlier changes that had been cut off, and were completed or undone first.
        previous: the champion that a rollback would restore now, or None.
        standing: what the verdict says of a promoted version; None where there is none.
    """

    model: str
    entry: ChampionEntry
    settled: list[str]
    previous: str | None
    standing: Standing | None = None


def open_registry(project: Project, model: str) -> Registry:
    """Return the registry's view of one model.

    Raises as :func:`graft.registry.store.tracking_store.open_store` does.
    """
    return Registry(open_store(project), model)


def promote(registry: Registry, version: str | None = None, reason: str = "", forced: bool = False) -> Changed:
    """Make a version champion.

    Args:
        version: the version; by default the challenger.
        reason: why, in a sentence or two; recorded.
        forced: also without a passing verdict; then ``reason`` is needed.

    Raises:
        GraftError: there is no such version, it is champion already, a reason is missing or too long, or (unless
            forced) a person rolled it back, or the gate has no passing verdict on exactly these files against the
            present champion.
    """
    reason = _checked(reason)
    if forced and not reason:
        raise GraftError("A promotion by force needs its reason, which stays in the history", 'Add --reason "..."')
    line = registry.line()
    candidate = find_version(registry, line, version)
    number = str(candidate.version)
    require_promotable(registry.model, line, number, forced)
    verdict = None
    try:
        verdict = fetch_verdict(registry.client, candidate)
    except GraftError:
        if not forced:
            raise  # force does without; one that cannot be read has nothing to add to the record
    if not forced:
        _check_verdict(registry.model, line, number, verdict)
        _check_files(registry, number, verdict)  # may take minutes, and so comes before the lock
    with registry.changing() as change:
        require_promotable(registry.model, change.line, number, forced)
        if not forced:
            _check_verdict(registry.model, change.line, number, verdict)
        facts = {} if verdict is None else _facts(verdict)
        changed = _carry_out(change, change.make_entry("promoted", number, reason, forced=forced, **facts))
        return replace(changed, standing=verdict.standing if verdict else None)


def roll_back(registry: Registry, reason: str = "") -> Changed:
    """Make the champion before the present one champion again; this may be repeated down the line.

    The version that is taken out of production comes back by force alone, with a reason.

    Raises:
        GraftError: there was none before, or the reason is too long.
    """
    reason = _checked(reason)
    line = registry.line()
    if not line.aliases and not line.entries:
        raise _no_earlier(registry.model, line)  # there may be no such model
    with registry.changing() as change:
        target = next(earlier_champions(registry, change.line), None)
        if target is None:
            raise _no_earlier(registry.model, change.line)
        return _carry_out(change, change.make_entry("rolled back", target, reason))


def find_version(registry: Registry, line: Line, version: str | None) -> ModelVersion:
    """Return a version of the registry's; without a number, the challenger.

    Raises:
        GraftError: there is none.
    """
    number = version or line.aliases.get(CHALLENGER)
    if number is None:
        raise GraftError(
            f"MLflow's registry has no challenger of '{registry.model}'",
            "Train and register one with `graft run`, or name a version with --version",
        )
    if not number.isdecimal() or not registry.exists(number):
        raise GraftError(
            f"MLflow's registry has no version {number} of '{registry.model}'",
            "`graft ui` shows which there are; without --version it is the challenger",
        )
    return registry.client.get_model_version(registry.model, number)


def _checked(reason: str) -> str:
    reason = " ".join(reason.split())
    if len(reason) > MAX_REASON:
        raise GraftError(
            f"The reason has {len(reason):,} characters, and the registry keeps {MAX_REASON:,}",
            "Shorten it; a link to the long version fits",
        )
    return reason


def _no_earlier(model: str, line: Line) -> GraftError:
    now = f"version {line.champion} is the first" if line.champion else "there never was one"
    return GraftError(f"'{model}' has no earlier champion to go back to: {now}", "See `graft history`")


def require_promotable(model: str, line: Line, number: str, forced: bool) -> None:
    """Pass where a version is not champion already, nor was taken out of production by a person.

    Args:
        forced: whether the latter is no obstacle.

    Raises:
        GraftError: it is.
    """
    if number == line.champion:
        raise GraftError(
            f"Version {number} of '{model}' is champion already",
            "`graft run` registers another challenger once one is better on validation",
        )
    if not forced and (problem := rolled_back(model, line, number)):
        raise GraftError(problem, 'To promote it all the same: --without-gate --reason "..."')


def rolled_back(model: str, line: Line, number: str) -> str:
    """Return who rolled a version back, when and why, where nothing brought it back since; else ``""``."""
    entry = line.rollback_of(number)
    if entry is None:
        return ""
    why = f": {entry.reason}" if entry.reason else ""
    return f"Version {number} of '{model}' was rolled back by {entry.by} at {entry.at[:19]} UTC{why}"


def _check_verdict(model: str, line: Line, number: str, verdict: GateVerdict | None) -> None:
    """Raise GraftError unless the verdict lets this version take the place of the present champion."""
    name = f"version {number} of '{model}'"
    if verdict is None:
        raise GraftError(f"The gate has not judged {name}", "Run `graft gate` first")
    if not verdict.passed:
        broken = ", ".join(rule.name for rule in verdict.broken)
        raise GraftError(
            f"The gate refused {name} at {verdict.at[:19]} UTC: {broken}",
            'See `graft gate`; to promote it all the same: --without-gate --reason "..."',
        )
    judged = verdict.champion.version if verdict.champion else None
    if judged != line.champion:
        raise GraftError(
            f"The gate compared {name} with {_champion(judged)}, and now there is {_champion(line.champion)}", _AGAIN
        )
    if verdict.model != model or verdict.candidate.version != number:
        raise GraftError(
            f"The verdict that {name} names is about version {verdict.candidate.version} of '{verdict.model}'", _AGAIN
        )


def _check_files(registry: Registry, number: str, verdict: GateVerdict | None) -> None:
    """Raise GraftError where a version's files are not those that were judged."""
    with files_of_version(registry.client, registry.model, number) as (_, digest):
        if verdict is not None and digest != verdict.candidate.digest:
            raise GraftError(
                f"The files of version {number} of '{registry.model}' are not those that the gate judged: "
                f"their SHA-256 was {verdict.candidate.digest[:12]}..., and is {digest[:12]}...",
                _AGAIN,
            )


def _facts(verdict: GateVerdict) -> dict[str, Any]:
    """Return the facts that an entry takes from a verdict."""
    failed = [rule.name for rule in verdict.broken]
    facts: dict[str, Any] = {"verdict": {"sha256": verdict.sha256, "passed": verdict.passed, "failed": failed}}
    return facts | ({"commit": verdict.made_from, "uncommitted": False} if verdict.made_from else {})


def _champion(version: str | None) -> str:
    return f"champion {version}" if version else "no champion"


def _carry_out(change: Change, entry: ChampionEntry) -> Changed:
    change.carry_out(entry)
    return Changed(change.registry.model, entry, change.settled, change.line.previous)
