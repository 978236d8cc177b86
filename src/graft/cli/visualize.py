"""`graft visualize`: what is inside a network, as pictures."""

from pathlib import Path
from typing import Annotated

import typer

from graft.cli.app import Commands, opened
from graft.cli.options import ModelOption, place_to_write
from graft.cli.output import say
from graft.core.errors import GraftError

app = Commands(help="Draw a network's kernels, its maps of a photograph, or where photographs lie among its features.")
OutOption = Annotated[Path, typer.Option(metavar="FILE", help="The PNG to write.", callback=place_to_write)]


@app.command(epilog="Example: graft visualize kernels --model artifacts/train/scratch")
def kernels(model: ModelOption = None, out: OutOption = Path("kernels.png")) -> None:
    """Draw the kernels of the first layer."""
    from graft.networks.explain.look_inside import main_network
    from graft.registry.report.draw_network import draw_kernels
    from graft.registry.resolve import resolve_trained

    project, _ = opened()
    resolved = resolve_trained(project, model)
    draw_kernels(main_network(resolved.bundle), out)
    say(f"The first layer of {resolved}: {out}")


@app.command(epilog="Example: graft visualize features photo.jpg")
def features(
    photograph: Annotated[Path, typer.Argument(metavar="PHOTOGRAPH", help="An image file.")],
    model: ModelOption = None,
    out: OutOption = Path("features.png"),
) -> None:
    """Draw the maps of a photograph through the depth of the network: the strongest channels of six layers."""
    from graft.bundle.record import read_settings
    from graft.networks.explain.look_inside import main_network
    from graft.registry.report.draw_network import draw_features
    from graft.registry.resolve import resolve_trained

    project, _ = opened()
    if not photograph.is_file():
        raise GraftError(f"There is no file {photograph}", "Name an image file")
    resolved = resolve_trained(project, model)
    bundle = main_network(resolved.bundle)
    draw_features(bundle, read_settings(bundle)["image_size"], photograph, out)
    say(f"What {resolved} makes of {photograph}: {out}")


@app.command(epilog="Example: graft visualize embedding")
def embedding(model: ModelOption = None, out: OutOption = Path("embedding.png")) -> None:
    """Draw the project's photographs by their features in two dimensions, coloured by class, split and mistake."""
    from graft.networks.explain.look_inside import main_network
    from graft.registry.report.draw_network import draw_embedding
    from graft.registry.resolve import resolve_trained

    project, _ = opened()
    resolved = resolve_trained(project, model)
    count = draw_embedding(project, main_network(resolved.bundle), out)
    say(f"{count:,} photographs as {resolved} sees them: {out}")
