"""`graft advise`: what to train, measured on the training images within a minute or two."""

from __future__ import annotations

from typing import Annotated

import typer

from graft.cli import completion
from graft.cli.options import JsonOption
from graft.cli.output import messages_aside
from graft.core.environment import configure
from graft.core.errors import GraftError, did_you_mean
from graft.core.progress import console
from graft.core.project import find_project


def advise(
    strategy: Annotated[
        str | None,
        typer.Argument(
            metavar="STRATEGY",
            autocompletion=completion.strategies,
            help="A strategy of kind auto in params.yaml; by default the first, or its defaults.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure frozen backbones on the training images, and say which strategy that speaks for.

    Data and split are those of the last run. Nothing is trained; validation and test images are not looked at. What
    was measured is kept in .graft/cache/advice, with a plot. A strategy of kind auto does the same, and trains what
    it says.
    """
    import json

    from graft.core.params import load_params
    from graft.core.params.strategy_params import AutoParams
    from graft.networks.engines.tensorflow_import import import_tensorflow

    project = find_project()
    configure(project)
    train = load_params(project.params_file).train
    autos = {name: one for name, one in train.strategies.items() if isinstance(one, AutoParams)}
    if strategy is not None and strategy not in autos:
        raise GraftError(
            f"There is no strategy '{strategy}' of kind auto in params.yaml", did_you_mean(strategy, autos)
        )
    name = strategy or next(iter(autos), "auto")
    if name not in autos:
        changed = {**train.strategies, name: AutoParams(kind="auto")}
        train = type(train).model_validate(train.model_copy(update={"strategies": changed}).model_dump())
    with messages_aside(as_json):
        import_tensorflow()
        from graft.analysis.advisor.advice_report import print_advice, settings_text, write_advice
        from graft.training.train import advise_strategy

        advice = advise_strategy(project, train, name)
        folder = project.advice
        write_advice(advice, folder)
    if as_json:
        print(json.dumps(advice.as_record(), indent=1))
        return
    print_advice(advice)
    console.print(
        f"\nAs a strategy, under train.strategies in params.yaml:\n\n{settings_text(advice)}", markup=False
    )
    console.print(f"Plot: {folder / 'advice.png'}", soft_wrap=True, markup=False)
