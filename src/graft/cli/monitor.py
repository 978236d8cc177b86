"""`graft monitor`: whether recent images are still what the model was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graft.environment import configure
from graft.errors import GraftError
from graft.progress import console
from graft.project import find_project

if TYPE_CHECKING:
    from graft.monitoring.monitor import DriftReport

EXIT_DRIFT = 3


def monitor(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH...",
            help="Recent images: files, folders, archives (.zip, .tar), or a pattern in quotes.",
            show_default=False,
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="A prediction log instead, such as .graft/state/predictions."),
    ] = None,
    days: Annotated[
        float | None, typer.Option(min=0, help="Of the log, no more than the last so many days.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="As for graft predict; by default the champion of this data set."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print what was found for programs.")] = False,
    track: Annotated[bool, typer.Option(help="Record the comparison as a run in MLflow.")] = True,
) -> None:
    """Compare recent images, and what the model says of them, with those it was trained on.

    Each check is a statistical test; `monitor` in params.yaml sets level and limits. A page with the figures is
    written to .graft/state/monitor. Ends with 0 where there is no drift, with 3 where there is, with 1 where
    nothing could be said.
    """
    import json
    import sys
    from contextlib import nullcontext, redirect_stdout
    from datetime import UTC, datetime, timedelta

    from graft.params import load_params

    if bool(paths) == (log is not None):
        raise GraftError(
            "Neither recent images nor a log was named" if not paths else "Both images and a log were named",
            "Write graft monitor FOLDER, or graft monitor --log FOLDER",
        )
    if days is not None and log is None:
        raise GraftError("--days goes with --log", "Leave it out: all images that are named are recent ones")
    project = find_project()
    configure(project)
    params = load_params(project.params_file)
    from graft.monitoring.monitor import monitor_log, monitor_paths
    from graft.monitoring.page import write_page

    # What is printed for programs stands alone on the standard output.
    with redirect_stdout(sys.stderr) if json_ else nullcontext():
        if log is not None:
            since = None if days is None else datetime.now(UTC) - timedelta(days=days)
            report = monitor_log(project, params, log, since, model)
        else:
            report = monitor_paths(project, params, paths or [], model)
        page = project.drift_reports / "report.html"
        write_page(page, report)
        if track:
            from graft.tracking.monitoring import record_comparison

            record_comparison(project, params.monitor, report, page)
    if json_:
        print(json.dumps(report.as_record(), indent=1))
    else:
        _print(report)
        console.print(f"Page: {page}", soft_wrap=True, markup=False)
    if report.drift:
        raise typer.Exit(EXIT_DRIFT)


def _print(report: DriftReport) -> None:
    from rich.markup import escape
    from rich.table import Table

    from graft.monitoring.page import in_words

    if report.checks:
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("check")
        for column in ("p", "together", "size", "from"):
            table.add_column(column, justify="right")
        table.add_column("")
        table.add_column("what was seen", overflow="fold")
        for check in report.checks:
            table.add_row(
                check.name,
                f"{check.p_value:.2g}",
                f"{check.adjusted:.2g}",
                f"{check.effect:.3f}",
                f"{check.least_effect:g}",
                "[red]drift[/]" if check.drift else "",
                escape(check.words),
            )
        console.print(table)
    for name, why in report.skipped.items():
        console.print(f"{name}: not compared, {why}", soft_wrap=True, markup=False)
    console.print(in_words(report), soft_wrap=True, markup=False, style="red" if report.drift else "")
