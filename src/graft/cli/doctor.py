"""`graft doctor`: what is installed, reachable and writable, and what to do about what is not."""

from typing import Annotated

import typer

from graft.cli.output import table_of
from graft.core.environment import configure
from graft.core.errors import EXIT_FAILURE
from graft.core.progress import console
from graft.core.project import find_project

_MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "bad": "[red]bad[/]"}


def doctor(
    services: Annotated[
        bool,
        typer.Option(
            "--services",
            help="Check the servers that this project shares with others: MLflow, Prefect, DVC's remote, Ray. Writes "
            "something to each and reads it back.",
        ),
    ] = False,
) -> None:
    """Check what graft needs here. Ends with 1 where something stops it from working."""
    from rich.markup import escape

    from graft.automation.examine import examine
    from graft.automation.examine_services import examine_services

    project = find_project()
    configure(project)
    with console.status("Looking"):
        findings = examine_services(project) if services else examine(project)
    table = table_of("=", "=", "~")
    for finding in findings:
        fix = f"\n[bold]{escape(finding.fix)}[/]" if finding.fix else ""
        table.add_row(_MARKS[finding.state], finding.what, escape(finding.found) + fix)
    console.print(table)
    bad = sum(finding.state == "bad" for finding in findings)
    if bad:
        console.print(f"\n{bad} of these must be mended before graft can run.")
        raise typer.Exit(EXIT_FAILURE)
