"""`graft classify`: ImageNet's classes and percentages from a pretrained network as it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli.options import JsonOption
from graft.cli.output import messages_aside, table_of
from graft.core.environment import configure
from graft.core.errors import EXIT_FAILURE
from graft.core.progress import console
from graft.core.project import find_project

if TYPE_CHECKING:
    from rich.table import Table

    from graft.deployment.predict.imagenet import Seen
    from graft.networks.imagenet.imagenet_network import ImageNetClassifier


# Its head can be had from a package registry where Keras' own download does not answer.
DEFAULT_BACKBONE = "ResNet50"


def classify(
    photos: Annotated[
        list[Path],
        typer.Argument(metavar="PHOTO...", help="Image files, and folders of them, at any depth.", show_default=False),
    ],
    backbone: Annotated[str, typer.Option(metavar="NAME", help="A model of keras.applications.")] = DEFAULT_BACKBONE,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Weights of the whole network, head included, instead of ImageNet's."),
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", help="Classes to show.", min=1, max=1000)] = 5,
    as_json: JsonOption = False,
) -> None:
    """See what a pretrained network sees in photographs: ImageNet's 1000 classes, no training.

    It is shown the middle of each: a square of 7/8 of the shorter side, as these networks are tested.

    What cannot be read is reported, the others are classified all the same, and the exit code is 1.
    """
    from graft.deployment.predict.imagenet import find_photographs
    from graft.networks.engines.tensorflow_import import import_tensorflow

    project = find_project()
    configure(project)
    photographs = find_photographs(photos)
    with messages_aside(as_json):
        with console.status(f"Loading {backbone}"):
            import_tensorflow()
        from graft.networks.imagenet import imagenet_network as network

        classifier = network.load_imagenet_classifier(backbone, weights, project.cache)
        seen = _classify_all(classifier, photographs, top)
    broken = sum(bool(one.problem) for one in seen)
    if as_json:
        print(_as_json(classifier, seen))
    else:
        console.print(_as_table(seen))
        console.print(f"\n[dim]{backbone}, weights: {classifier.weights_source}[/]", soft_wrap=True)
        if broken:
            console.print(f"[red]{broken} of {len(seen)} could not be read.[/]")
    if broken:
        raise typer.Exit(EXIT_FAILURE)


def _classify_all(classifier: ImageNetClassifier, photographs: list[Path], top: int) -> list[Seen]:
    from graft.core.progress import progress_bar
    from graft.deployment.predict.imagenet import BATCH, classify

    if len(photographs) <= BATCH:
        with console.status("Looking"):
            return list(classify(classifier, photographs, top))
    seen = []
    with progress_bar("Photographs", len(photographs)) as advance:
        for one in classify(classifier, photographs, top):
            seen.append(one)
            advance(1)
    return seen


def _as_table(seen: list[Seen]) -> Table:
    from rich.markup import escape

    table = table_of("~photograph", "class", ">")
    for one in seen:
        name = escape(_printable(one.photograph))
        if one.problem:
            table.add_row(name, f"[red]not read: {escape(one.problem)}[/]", "", end_section=True)
        for guess in one.guesses:
            table.add_row(name, escape(guess.label), f"{guess.probability:.2%}")
            name = ""
    return table


def _as_json(classifier: ImageNetClassifier, seen: list[Seen]) -> str:
    import json

    photographs = [
        {"photograph": _printable(one.photograph), "problem": one.problem}
        if one.problem
        else {
            "photograph": _printable(one.photograph),
            "classes": [
                {"label": guess.label, "index": guess.index, "probability": guess.probability} for guess in one.guesses
            ],
        }
        for one in seen
    ]
    network = {
        "backbone": classifier.name,
        "weights": classifier.weights_source,
        "weights_digest": classifier.weights_digest,
        "image_size": classifier.image_size,
    }
    return json.dumps({**network, "photographs": photographs}, indent=2)


def _printable(path: Path) -> str:
    """A path as text, also where its bytes are no text."""
    return os.fsencode(path).decode(errors="replace")
