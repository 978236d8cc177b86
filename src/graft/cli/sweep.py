"""`graft sweep`: other settings of the strategies, tried over the feature store and ranked on validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from graft.cli.app import opened
from graft.cli.options import JsonOption
from graft.cli.output import messages_aside, print_table, say, table_of
from graft.core.progress import console

if TYPE_CHECKING:
    from graft.core.params import Params
    from graft.training.run_sweep import Trial

# By metric: the column, and how a figure is written.
_RESULTS = {
    "accuracy": ("val accuracy", "{:.2%}"),
    "macro_f1": ("val macro-F1", "{:.4f}"),
    "log_loss": ("val log loss", "{:.4f}"),
}


def sweep(
    trials: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many in all, instead of sweep.trials in params.yaml.")
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="How many to show.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Try the settings that `sweep` in params.yaml names, and show which were best on validation.

    Data and split are those of the last run. Each trial becomes a run in MLflow, nested in the sweep's own. A sweep
    that was stopped carries on; test images are not looked at.
    """
    import json

    from graft.networks.engines.tensorflow_import import import_tensorflow

    project, params = opened()
    if trials is not None:
        params = params.model_copy(update={"sweep": params.sweep.model_copy(update={"trials": trials})})
    with messages_aside(as_json):
        import_tensorflow()
        from graft.registry.runs.sweep_runs import SweepRun
        from graft.training.run_sweep import run_sweep

        run = SweepRun(project, params)

        def after(trial: Trial) -> None:
            run.log(trial)
            what = ", ".join(f"{key} {value}" for key, value in trial.settings.items())
            outcome = trial.problem or f"{params.sweep.metric} {trial.figures[params.sweep.metric]:.4f}"
            say(f"Trial {trial.number}: {trial.strategy}, {what}: {outcome}")

        done = run_sweep(project, params, after)
        run.finish(done)
    if as_json:
        print(json.dumps([vars(trial) for trial in done], indent=1))
        return
    _print_trials(params, done[:top])
    _print_best(params, done[0])


def _print_trials(params: Params, trials: list[Trial]) -> None:
    ranked_by = params.sweep.metric
    keys = list(dict.fromkeys(key for trial in trials for key in trial.settings))
    columns = [f">{name}" for name, _ in _RESULTS.values()]
    table = table_of("~strategy", *(f"~{key}" for key in keys), *columns, ">seconds")
    for trial in trials:
        figures = trial.figures
        table.add_row(
            trial.strategy,
            *(_short(trial.settings.get(key, "")) for key in keys),
            *(
                form.format(figures[metric]) if figures else "failed" if metric == ranked_by else ""
                for metric, (_, form) in _RESULTS.items()
            ),
            f"{trial.seconds:.1f}",
        )
    console.print()
    print_table(table, "seconds", *(name for metric, (name, _) in _RESULTS.items() if metric != ranked_by))


def _print_best(params: Params, best: Trial) -> None:
    """Print the best trial's settings as lines to put under its strategy."""
    import io

    from ruamel.yaml import YAML

    console.print(f"\nBest by {params.sweep.metric} on validation. Under train.strategies.{best.strategy}:")
    nested: dict[str, Any] = {}
    for key, value in best.settings.items():
        *parents, last = key.split(".")
        section = nested
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = float(f"{value:.3g}") if isinstance(value, float) else value
    stream = io.StringIO()
    if nested:
        YAML().dump(nested, stream)
    console.print(stream.getvalue() or "(as it is)", markup=False)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
