"""`graft slices`: where a model is worse, by brightness, sharpness, size, or the columns of a table."""

from pathlib import Path
from typing import Annotated

import typer

from graft.cli import completion
from graft.cli.app import opened
from graft.cli.options import JsonOption
from graft.cli.output import messages_aside, print_table, say, table_of
from graft.core.progress import console


def slices(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="A strategy, an ensemble, a run or a version, as for graft compare. By default the first evaluated.",
            show_default=False,
            autocompletion=completion.evaluated,
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A CSV with a column path (below data/) or sha256; every other column is sliced by too.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="How many to show, the worst first.")] = 12,
    as_json: JsonOption = False,
) -> None:
    """Show the test images on which a model is worst: the dark, the blurred, the small, or those of a column.

    Intervals of all slices hold together at 95 %, for the worst of many looks worse than it is.
    """
    import json
    from dataclasses import asdict

    project, params = opened()
    with messages_aside(as_json):
        from graft.core.errors import GraftError
        from graft.registry.runs.named_predictions import evaluated_names
        from graft.registry.runs.sliced_predictions import sliced

        names = evaluated_names(project, params)
        if model is None and not names:
            raise GraftError("No model is evaluated", "Evaluate one: graft run")
        chosen = model or names[0]
        found, accuracy = sliced(project, params, chosen, table)
    if as_json:
        print(json.dumps({"model": chosen, "accuracy": accuracy, "slices": [asdict(one) for one in found]}, indent=1))
        return
    shown = table_of("~by", "=values", ">images", ">groups", ">accuracy", "=interval")
    for one in found[:top]:
        ends = f"[{100 * one.interval.low:.1f}, {100 * one.interval.high:.1f}]"
        shown.add_row(one.column, one.values, str(one.images), str(one.groups), f"{one.accuracy:.2%}", ends)
    console.print()
    print_table(shown, "groups", "images")
    if not found:
        say("The test images are too few for slices of ten.")
        return
    worst = found[0]
    is_worse = worst.interval.high < accuracy
    say(
        f"\nAll test images: {accuracy:.2%}. The worst slice, {worst.column} {worst.values}, is "
        + ("worse than that." if is_worse else "not distinguishable from that.")
    )
