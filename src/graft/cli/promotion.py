"""`graft gate`, `promote`, `rollback` and `history`: which model is in production, and how it got there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli import completion
from graft.cli.app import opened
from graft.cli.options import JsonOption
from graft.cli.output import messages_aside, print_next, say, short, table_of
from graft.core.errors import EXIT_FAILURE
from graft.core.progress import console
from graft.core.project import Project
from graft.core.wording import counted

if TYPE_CHECKING:
    from graft.core.params import Params
    from graft.registry.promotion.change_champion import Registry
    from graft.registry.promotion.gate_verdict import GateRule, GateVerdict
    from graft.registry.promotion.line import Row
    from graft.registry.promotion.promote import Changed
    from graft.registry.promotion.standing import Standing

Version = Annotated[
    str | None,
    typer.Option(
        metavar="N", help="A version of the registry's; by default the challenger.", autocompletion=completion.versions
    ),
]
_LONG = 12  # characters of a hash that tell it from others, for reading
_FIGURES = {"accuracy": "{:.2%}", "macro_f1": "{:.4f}", "log_loss": "{:.4f}"}


DELIVERIES = 1000  # runs that `graft history --data` looks back on


def gate(version: Version = None, as_json: JsonOption = False) -> None:
    """Judge the challenger against the champion on the test split; ends with 1 where it is refused.

    Both are run as they are registered, each in a process of its own. The rules, their limits and severities stand
    under gate in params.yaml; the verdict goes to artifacts/gate/verdict.json and into the challenger's MLflow run.
    """
    from graft.deployment.monitor.shadow_answers import answers_in_shadow
    from graft.registry.promotion.gate import run_gate
    from graft.registry.promotion.gate_verdict import verdict_file

    with messages_aside(as_json):
        project, params, registry = _open()
        shadow = answers_in_shadow(project, params.monitor.log, registry.model)
        verdict = run_gate(project, params, registry, version, shadow=shadow)
    if as_json:
        print(verdict.text(), end="")
    else:
        _print_verdict(verdict)
        console.print(f"Verdict: {short(verdict_file(project))}", soft_wrap=True)
        if verdict.passed:
            print_next("graft promote" + (f" --version {version}" if version else ""))
    if not verdict.passed:
        raise typer.Exit(EXIT_FAILURE)


def promote(
    version: Version = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; stays in the history.")] = "",
    force: Annotated[
        bool, typer.Option("--without-gate", help="Also without a passing verdict; needs --reason.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make the challenger champion, where the gate has passed exactly this version against the present champion."""
    from graft.registry.promotion.promote import promote as make_champion

    with messages_aside(as_json):
        _, _, registry = _open()
        changed = make_champion(registry, version, reason, force)
    _print_changed(changed, as_json)


def rollback(
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; stays in the history.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make the champion before this one champion again; repeat it to go further back."""
    from graft.registry.promotion.promote import roll_back

    with messages_aside(as_json):
        _, _, registry = _open()
        changed = roll_back(registry, reason)
    _print_changed(changed, as_json)


def history(
    data: Annotated[
        bool, typer.Option("--data", help="Deliveries instead: what came into data/, was corrected or withdrawn.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every champion there was: since when, what changed with it, by which verdict, and why."""
    import json

    if data:
        _print_deliveries(as_json)
        return
    from datetime import UTC, datetime

    from graft.automation.retraining.heartbeat import weeks_without_promotion
    from graft.registry.promotion.line import read_champions, rows_of

    with messages_aside(as_json):
        project, params = opened()
        line, shown = read_champions(project, params)
    rows = rows_of(line)
    if as_json:
        changes = [row.as_dict() for row in rows]
        print(json.dumps({"model": line.model, "aliases": dict(line.aliases), "changes": changes}, indent=2))
        return
    if not rows:
        console.print(f"'{line.model}' has had no champion that graft knows of.", markup=False)
        print_next("graft gate", "graft promote")
        return
    _print_rows(rows)
    weeks, limit = weeks_without_promotion(project, line, datetime.now(UTC)), params.retrain.notify.stuck_weeks
    if limit and weeks >= limit:
        say(f"Nothing was promoted for {weeks} weeks.")
    if shown:
        say(shown)
    if line.champion != rows[-1].entry.version:
        console.print(
            f"The alias champion now names {f'version {line.champion}' if line.champion else 'no version'}: "
            "something else than graft has moved it.",
            soft_wrap=True,
        )


def _print_deliveries(as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from rich.markup import escape

    from graft.automation.retraining.retrain_history import last_outcomes

    project, _ = opened()
    outcomes = [one for one in reversed(last_outcomes(project, DELIVERIES)) if one.deliveries]
    if as_json:
        found = [{"at": run.at, "commit": run.commit, **asdict(one)} for run in outcomes for one in run.deliveries]
        print(json.dumps(found, indent=2))
        return
    table = table_of("=when", "=commit", "delivery", "", ">new", "~")
    for run in outcomes:
        for one in run.deliveries:
            words = escape(" ".join(one.reasons))
            table.add_row(run.at[:16], run.commit[:8], escape(one.name), one.verdict, f"{one.images:,}", words)
    console.print(table if table.rows else "No delivery has come in yet.")


def _open() -> tuple[Project, Params, Registry]:
    project, params = opened()
    from graft.registry.aliases import registered_name
    from graft.registry.promotion.promote import open_registry

    return project, params, open_registry(project, registered_name(project, params.register_))


def _print_verdict(verdict: GateVerdict) -> None:
    from rich.markup import escape

    candidate, champion = verdict.candidate, verdict.champion
    if champion:
        against = f"against champion {champion.version} ({champion.strategy})"
    else:
        against = "the champion itself" if verdict.is_champion else "no champion yet"
    console.print(
        f"\n[bold]{escape(verdict.model)}[/] version {candidate.version} ({escape(candidate.strategy)}), "
        f"{escape(against)}, on {verdict.test.images:,} images of test"
        f"{f' in {verdict.test.groups:,} groups' if verdict.test.groups < verdict.test.images else ''}\n",
        soft_wrap=True,
    )
    table = table_of("=rule", "=", "found", "needed")
    for rule in verdict.rules:
        table.add_row(rule.name, _outcome(rule), escape(rule.observed), escape(rule.needed))
    for name in verdict.off:
        table.add_row(name, "[dim]off[/]", "", "")
    console.print(table)
    console.print()
    _print_standing(verdict.standing)
    for rule in verdict.rules:
        if not rule.passed:
            say(f"{rule.name}: {rule.remedy}.")
    refused = f"[bold red]Refused[/] by {counted(len(verdict.broken), 'rule')}"
    console.print("[bold green]Passed[/]" if verdict.passed else refused)


def _print_standing(standing: Standing) -> None:
    for sentence in standing.sentences():
        console.print(sentence, markup=False, highlight=False)


def _outcome(rule: GateRule) -> str:
    if rule.passed:
        return "[green]pass[/]"
    return "[red]fail[/]" if rule.severity == "error" else "[yellow]warn[/]"


def _print_changed(changed: Changed, as_json: bool) -> None:
    entry = changed.entry
    if as_json:
        import json
        from dataclasses import asdict

        standing = changed.standing.model_dump() if changed.standing else None
        content = {"model": changed.model, "settled": changed.settled, "previous": changed.previous}
        print(json.dumps({**content, "standing": standing, "change": asdict(entry)}, indent=2))
        return
    for sentence in changed.settled:
        say(f"Settled first: {sentence}.")
    how = "by force" if entry.forced else entry.action
    before = f"; before it was version {entry.before}" if entry.before else ""
    say(
        f"{changed.model}: version {entry.version} ({entry.strategy or 'strategy unknown'}) is champion now, "
        f"{how}{before}."
    )
    if changed.standing:
        _print_standing(changed.standing)
    if changed.previous:
        print_next("graft history", f"graft rollback    [not bold dim]restores version {changed.previous}[/]")
    else:
        print_next("graft history")


def _print_rows(rows: list[Row]) -> None:
    """Print figures of each champion in a line, and below it how it came to be, and what differs from the last."""
    width = max(len("strategy"), *(len(row.entry.strategy) for row in rows))
    head = f"{'since (UTC)':<17} {'version':<8} {'strategy':<{width}} {'accuracy':>9} {'macro-F1':>9} {'log loss':>9}"
    console.print(head, style="bold", soft_wrap=True)
    for row in rows:
        entry = row.entry
        figures = [
            form.format(entry.figures[name]) if name in entry.figures else "-" for name, form in _FIGURES.items()
        ]
        version = f"{entry.version} now" if row.now else entry.version
        line = f"{entry.at[:16].replace('T', ' '):<17} {version:<8} {entry.strategy:<{width}}"
        say(f"{line} " + " ".join(f"{figure:>9}" for figure in figures), style="green" if row.now else "")
        for detail in (_how(row), _made_from(row), _gained(row)):
            if detail:
                say(f"{'':<17} {detail}", style="dim")


def _how(row: Row) -> str:
    entry = row.entry
    if entry.action == "promoted":
        how = "by force" if entry.forced else f"by verdict {entry.verdict.get('sha256', '')[:_LONG]}"
        if entry.forced and entry.verdict.get("failed"):
            how += f" against {', '.join(entry.verdict['failed'])}"
    elif entry.action == "rolled back":
        how = f"rolled back from version {entry.before}"
    else:
        how = "found: set by something else than graft"
    if row.cut_off:
        how += " (under way, or cut off: then the next promotion or rollback finishes it)"
    return f"{how}: {entry.reason}" if entry.reason else how


def _made_from(row: Row) -> str:
    parts = []
    for name in ("data", "commit"):
        value = getattr(row.entry, name)
        if not value:
            parts.append(f"{name} unknown")
        elif row.first or name in row.changed:
            parts.append(f"{name} {value[:_LONG]}")
        else:
            parts.append(f"same {name}")
    if row.entry.uncommitted:
        parts[-1] += " with changes"
    return ", ".join(parts)


def _gained(row: Row) -> str:
    words = {"accuracy": "accuracy {:+.2%}", "macro_f1": "macro-F1 {:+.4f}", "log_loss": "log loss {:+.4f}"}
    return ", ".join(form.format(row.gained[name]) for name, form in words.items() if row.gained.get(name))
