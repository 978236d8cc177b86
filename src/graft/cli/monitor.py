"""`graft monitor`: whether recent images are still what the model was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli.app import opened
from graft.cli.options import JsonOption, ModelOption
from graft.cli.output import messages_aside, say, table_of
from graft.core.errors import GraftError
from graft.core.progress import console

if TYPE_CHECKING:
    from datetime import datetime

    from graft.core.params import Params
    from graft.deployment.monitor.monitor_predictions import DriftReport

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
    log: Annotated[bool, typer.Option("--log", help="This project's prediction log instead of images.")] = False,
    log_from: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A prediction log that lies elsewhere instead.")
    ] = None,
    days: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0, help="Of the log, no more than the last so many days.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Compare the log with labels instead: a CSV table of sha256 (or path), label and, if wanted, group.",
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
    track: Annotated[bool, typer.Option(help="Record the comparison as a run in MLflow.")] = True,
) -> None:
    """Compare recent images, and what the model says of them, with those it was trained on.

    Each check is a statistical test; `monitor` in params.yaml sets level and limits. A page with the figures is
    written to .graft/state/monitor. Ends with 0 where there is no drift, with 3 where there is, with 1 where
    nothing could be said.

    With --truth the answers in the log are counted against labels that came later: by class and week, with intervals,
    beside the accuracy that the probabilities promised.
    """
    import json
    from datetime import UTC, datetime, timedelta

    if truth is not None and not paths and log_from is None:
        log = True
    named = bool(paths) + log + (log_from is not None)
    if named != 1:
        raise GraftError(
            "Of images, --log and --log-from more than one was named"
            if named
            else "Neither recent images nor a log was named",
            "Write graft monitor PATH, or graft monitor --log, or graft monitor --log-from FOLDER",
        )
    if days is not None and paths:
        raise GraftError("--days goes with --log", "Leave it out: all images that are named are recent ones")
    project, params = opened()
    where = project.prediction_log if log else log_from
    since = None if days is None else datetime.now(UTC) - timedelta(days=days)
    if truth is not None:
        if where is None:
            raise GraftError("--truth goes with --log", "Leave the images out: the log has their hashes")
        _print_reached(where, params, truth, since, as_json)
        return
    from graft.deployment.monitor.drift_page import write_page
    from graft.deployment.monitor.monitor_predictions import monitor_log, monitor_paths

    with messages_aside(as_json):
        if where is not None:
            report = monitor_log(project, params, where, since, model)
        else:
            report = monitor_paths(project, params, paths or [], model)
        page = write_page(project.drift_reports, report)
        if track:
            from graft.deployment.monitor.record_monitoring import record_comparison

            record_comparison(project, params.monitor, report, page)
    if as_json:
        print(json.dumps(report.as_record(), indent=1))
    else:
        _print(report)
        say(f"Page: {page}")
    if report.drift:
        raise typer.Exit(EXIT_DRIFT)


def _print_reached(folder: Path, params: Params, truth: Path, since: datetime | None, as_json: bool) -> None:
    import json
    import math

    from rich.markup import escape

    from graft.deployment.monitor.prediction_log import PredictionLog
    from graft.deployment.monitor.reached import reached, read_truth

    found = reached(PredictionLog(folder, params.monitor.log), read_truth(truth), since)
    if as_json:
        # JSON knows no nan.
        text = json.dumps(found.as_record(), indent=1)
        print(text.replace(": NaN", ": null"))
        return
    if found.total is None:
        raise GraftError(f"None of the images in {truth} is in {folder}", "Look at the hashes: sha256sum FILE")
    table = table_of("=", ">images", ">unknown", ">right", "95 %", ">promised")
    for rows in ([found.total], found.classes, found.weeks, found.models if len(found.models) > 1 else []):
        for one in rows:
            interval = "" if math.isnan(one.low) else f"{one.low:.1%} to {one.high:.1%}"
            shares = ["" if math.isnan(share) else f"{share:.1%}" for share in (one.right, one.expected)]
            table.add_row(escape(one.name), f"{one.images:,}", f"{one.unknown:,}", shares[0], interval, shares[1])
        table.add_section()
    console.print(table)
    for name, count in found.new_classes.items():
        say(f"No answer was '{name}', which {count:,} labels say: right would have been unknown")
    if found.unlabelled.images:
        promised = "" if math.isnan(found.unlabelled.expected) else f", promised {found.unlabelled.expected:.1%}"
        say(f"Without a label: {found.unlabelled.images:,} images{promised}")
    if found.missing:
        say(f"Not in the log: {found.missing:,} images with a label")


def _print(report: DriftReport) -> None:
    from rich.markup import escape

    from graft.deployment.monitor.drift_page import in_words

    if report.checks:
        table = table_of("=check", ">p", ">together", ">size", ">from", "=", "~what was seen")
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
        say(f"{name}: not compared, {why}")
    if report.expected is not None:
        say(f"Accuracy that the probabilities promise: {report.expected:.1%} (labels that come later: --truth)")
    say(in_words(report), style="red" if report.drift else "")
