"""Options that several commands have in common, each with one meaning."""

from pathlib import Path
from typing import Annotated

import typer

from graft.cli import completion
from graft.core.project import require_outside_of_project

FORCE_HELP = "Do it all anew, also where nothing has changed."

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A folder with a trained model, or models:/NAME@ALIAS. By default the champion of this data set.",
        autocompletion=completion.models,
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help=FORCE_HELP)]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print everything as one JSON document; messages go to standard error.")
]
LogOption = Annotated[
    bool | None,
    typer.Option(
        "--log/--no-log",
        help="Add to this project's prediction log, for graft monitor; by default as monitor.log in params.yaml says.",
    ),
]


def place_to_write(path: Path | None) -> Path | None:
    """Return the value of an option that names what to write; refuse what the project keeps for itself.

    Raises:
        GraftError: it is in there.
    """
    if path is not None:
        require_outside_of_project(path)
    return path
