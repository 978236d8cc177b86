"""Options that several commands have in common."""

from __future__ import annotations

from typing import Annotated

import typer

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A folder with a trained model, or models:/NAME@ALIAS. By default the champion of this data set.",
    ),
]
