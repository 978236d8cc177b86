"""`graft export`: a trained model in other runtimes' formats, each compared with the model first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli.options import ModelOption, place_to_write
from graft.cli.output import print_table, table_of
from graft.core.environment import configure
from graft.core.errors import GraftError
from graft.core.progress import console
from graft.core.project import find_project
from graft.deployment.export.formats import FORMATS

if TYPE_CHECKING:
    from graft.deployment.export.export_model import Exported


def export(
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Each format becomes a folder in it.", show_default=False, callback=place_to_write
        ),
    ],
    formats: Annotated[
        list[str],
        typer.Option(
            "--format",
            metavar="NAME",
            autocompletion=lambda incomplete: [*FORMATS, "all"],
            help=f"{', '.join(FORMATS)}, or all; may be given several times.",
            show_default=False,
        ),
    ],
    int8: Annotated[
        bool,
        typer.Option(
            "--int8", help="tflite in 8-bit whole numbers: a third of the size, calibrated on training photographs."
        ),
    ] = False,
    most_lost: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Accuracy on validation that --int8 may cost, a share of 1; more is refused.",
        ),
    ] = 0.01,
    model: ModelOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace what is in FOLDER of these formats.")] = False,
) -> None:
    """Write the champion, or any trained model, as SavedModel, Hub module, TFLite, ONNX or OpenVINO.

    Each file is loaded again and must answer as the model does on validation photographs, or nothing is written.
    Labels and preprocessing travel with it.
    """
    from graft.networks.engines.tensorflow_import import import_tensorflow
    from graft.registry.resolve import resolve_model

    chosen = _chosen(formats, int8)
    project = find_project()
    configure(project)
    resolved = resolve_model(project, model)
    with console.status("Loading TensorFlow"):
        import_tensorflow()
    from graft.deployment.export.export_model import export as export_formats

    console.print(f"{resolved}:", soft_wrap=True)
    made = []
    for one in export_formats(project, resolved, chosen, int8, most_lost, out, replace):
        console.print(f"  {one.name}: {one.folder}", soft_wrap=True)
        made.append(one)
    _print_table(made)


def _chosen(formats: list[str], int8: bool) -> list[str]:
    from graft.core.errors import did_you_mean

    for name in formats:
        if name not in (*FORMATS, "all"):
            raise GraftError(f"There is no format '{name}'", did_you_mean(name, (*FORMATS, "all")))
    chosen = list(FORMATS) if "all" in formats else list(dict.fromkeys(formats))
    if int8 and "tflite" not in chosen:
        raise GraftError("--int8 is for TensorFlow Lite", "Add --format tflite, or leave --int8 out")
    return chosen


def _print_table(made: list[Exported]) -> None:
    table = table_of("=format", ">MB", ">ms an image", ">largest difference", ">accuracy", ">the model's")
    for one in made:
        checked = one.checked
        table.add_row(
            one.name,
            f"{one.bytes / 1e6:.1f}",
            f"{checked.milliseconds:.1f}",
            f"{checked.largest_difference:.1e}",
            f"{checked.accuracy:.2%}",
            f"{checked.accuracy_of_model:.2%}",
        )
    print_table(table, "largest difference", "ms an image", "MB")
    images = " and ".join(sorted({str(one.checked.images) for one in made}))
    console.print(f"[dim]On {images} validation photographs; the quickest time for one, pixels to answer[/]")
