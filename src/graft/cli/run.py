"""`graft run` and `graft results`: the whole pipeline, and its table."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli import completion
from graft.cli.app import opened
from graft.cli.options import ForceOption
from graft.cli.output import say
from graft.core.errors import GraftError, did_you_mean
from graft.core.progress import console
from graft.core.project import Project, find_project

if TYPE_CHECKING:
    from graft.core.params import Params
    from graft.core.timing import Breakdown

# Options that only DVC knows end up among the stages.
PASS_ON = {"ignore_unknown_options": True}


def run(
    stages: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STAGE",
            help="Run only these and what they need, such as train@frozen.",
            show_default=False,
            autocompletion=completion.stages,
        ),
    ] = None,
    force: ForceOption = False,
    quality: Annotated[
        str | None,
        typer.Option(
            help="How thoroughly to choose: fast, good or best. Written into params.yaml.",
            metavar="QUALITY",
            show_default=False,
            autocompletion=completion.qualities,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Minutes for measuring and training, on this machine. Written into params.yaml.",
            metavar="MINUTES",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run everything that changed, from photographs to a registered model.

    Fetches the default data set where data/ is empty, then runs `dvc repro` with one shared Prefect server. All other
    options of `dvc repro` are passed on to it, such as --downstream, --single-item, --dry and --keep-going.
    """
    from graft.automation.projects.project_version import require_own_version
    from graft.automation.run_pipeline import reproduce, require_known
    from graft.core.lock import project_lock
    from graft.core.params.set_quality import STRATEGIES, set_quality
    from graft.data.sources.catalogue import fetch_default

    require_own_version(find_project())
    project, _ = opened()  # a typo in params.yaml is found before anything is downloaded or started
    if quality is not None and quality not in STRATEGIES:
        raise GraftError(f"There is no quality '{quality}'", did_you_mean(quality, list(STRATEGIES)))
    if changed := set_quality(project.params_file, quality, minutes):
        say(f"params.yaml now says {', '.join(changed)}.")
    arguments = [*(["--force"] if force else []), *(stages or [])]
    require_known(project, arguments)
    fetched = fetch_default(project)
    if fetched is not None:
        console.print(f"data/ now holds {fetched.dataset}: {fetched.images:,} images.")

    with project_lock(project):
        breakdown = reproduce(project, arguments, report=True)
    if breakdown is None:
        console.print("Nothing to do: data, params and code are as they were when these results were made.")
    _print_results(project)
    if breakdown is not None:
        _print_breakdown(breakdown)
    _print_next_commands(project)


def results() -> None:
    """Show the table of the last run again."""
    _print_results(find_project())


def _print_results(project: Project) -> None:
    from graft.automation.run_pipeline import read_registered, read_results
    from graft.cli.figure_tables import print_figures
    from graft.core.model_folders import model_folders, promising_strategies
    from graft.core.params import load_params

    params = load_params(project.params_file)
    registered = read_registered(project)
    rows = read_results(project, model_folders(project, params))
    more = {
        "seconds": {row.strategy: f"{row.seconds:.1f}" for row in rows},
        "MLflow run": {row.strategy: row.run_id for row in rows},
    }
    print_figures({row.strategy: row.figures for row in rows}, more, str(registered["strategy"]))
    _print_comparison(project, params, str(registered["strategy"]), [row.strategy for row in rows])
    aliases = ", ".join(str(alias) for alias in registered["aliases"])  # type: ignore[attr-defined]
    promised = registered["strategy"] in promising_strategies(project)
    console.print(
        f"\nRegistered: [bold]{registered['model']}[/] version {registered['version']} ({aliases}): "
        f"{registered['strategy']}, best by {registered['metric']} {_validated(registered)}"
        + ("; fine-tuning promised most (stage choose), and no other is better beyond the error." if promised else "."),
        soft_wrap=True,
    )


def _validated(registered: dict[str, object]) -> str:
    """Return in words which images chose; projects of an earlier graft do not say how many they were."""
    value = f"({registered['value']:.4f})"
    if folds := registered.get("folds"):
        return f"out of fold {value}, on the {registered['images']} images of train and val in {folds} folds"
    return f"on validation {value}" + (f", {registered['images']} images" if "images" in registered else "")


def _print_comparison(project: Project, params: Params, registered: str, names: list[str]) -> None:
    """Print how the others compare with what is registered, where there are others."""
    from graft.cli.figure_tables import print_comparison
    from graft.registry.runs.named_predictions import compare_named, evaluated_names

    if len(names) < 2:
        return
    evaluated = evaluated_names(project, params)
    others = [name for name in names if name != registered and name in evaluated]
    if registered in evaluated and others:
        print_comparison(compare_named(project, params, [registered, *others]))


def _print_breakdown(breakdown: Breakdown) -> None:
    console.print(
        f"Time: {breakdown.wall:.0f} s, of which compute {breakdown.compute:.0f}, imports {breakdown.imports:.0f}, "
        f"Prefect {breakdown.prefect:.0f}, MLflow {breakdown.mlflow:.0f}, DVC {breakdown.dvc:.0f} "
        f"({breakdown.overhead:.0%} is not compute).",
        soft_wrap=True,
    )


def _print_next_commands(project: Project) -> None:
    from graft.core.params import load_params

    train = load_params(project.params_file).train
    # What is left to stage choose is its own affair, and a head that is solved has no rate.
    settings = {name: train.strategies[name].model_dump() for name in train.run}
    rates = {name: one.get("learning_rate") for name, one in settings.items() if "learning_rate" not in one["auto"]}
    strategy, rate = next(((name, rate) for name, rate in rates.items() if rate), ("", 0.0))
    commands = [
        ("graft gate", "judge the registered model against the champion on test"),
        ("graft promote", "put it into production, once the gate has passed it"),
        ("graft ui", "compare the runs in MLflow, and see the flows in Prefect"),
        (
            # A factor of 3: far enough to make a difference, near enough to work.
            f"dvc exp run -S train.strategies.{strategy}.learning_rate={3 * rate:g}",
            "try a setting; then `dvc metrics diff`",
        ),
        ("graft data import FOLDER --replace", "bring in photographs of your own; then `graft run`"),
    ]
    if not strategy:
        commands[3] = ("graft run --quality best", "measure more networks and sizes, and train longer")
    console.print("\nNext:")
    if "VIRTUAL_ENV" not in os.environ and (project.root / ".venv").is_dir():
        console.print("  source .venv/bin/activate    [dim]once per terminal, for the commands below[/]")
    for command, purpose in commands:
        console.print(f"  {command}    [dim]{purpose}[/]", soft_wrap=True)
