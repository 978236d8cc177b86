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

    Data and split are those of the last run. Each strategy is trained as it is, too: settings are worth taking where
    they gain more than the best of so many trials would by luck. Each trial becomes a run in MLflow, nested in the
    sweep's own. A sweep that was stopped carries on; test images are not looked at.
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
            what = ", ".join(f"{key} {value}" for key, value in trial.settings.items()) or "as it is"
            outcome = trial.problem or f"{params.sweep.metric} {trial.figures[params.sweep.metric]:.4f}"
            say(f"Trial {trial.number}: {trial.strategy}, {what}: {outcome}")

        done = run_sweep(project, params, after)
        run.finish(done)
    if as_json:
        print(json.dumps([vars(trial) for trial in done], indent=1))
        return
    _print_trials(params, done[:top])
    _print_best(params, done)


def _print_trials(params: Params, trials: list[Trial]) -> None:
    ranked_by = params.sweep.metric
    keys = list(dict.fromkeys(key for trial in trials for key in trial.settings))
    columns = [f">{name}" for name, _ in _RESULTS.values()]
    table = table_of("~strategy", *(f"~{key}" for key in keys), *columns, ">gain", ">seconds")
    for trial in trials:
        figures = trial.figures
        table.add_row(
            trial.strategy,
            *("as it is" if trial.is_own else _short(trial.settings.get(key, "")) for key in keys),
            *(
                form.format(figures[metric]) if figures else "failed" if metric == ranked_by else ""
                for metric, (_, form) in _RESULTS.items()
            ),
            "" if trial.gain is None or trial.is_own else f"{trial.gain:+.4f} ± {trial.error:.4f}",
            f"{trial.seconds:.1f}",
        )
    console.print()
    print_table(table, "seconds", *(name for metric, (name, _) in _RESULTS.items() if metric != ranked_by), "gain")


def _print_best(params: Params, trials: list[Trial]) -> None:
    """Print the best trial's settings as lines to put under its strategy, or that none is worth it."""
    import io

    from ruamel.yaml import YAML

    best, metric = trials[0], params.sweep.metric
    tried = sum(not trial.is_own and not trial.problem for trial in trials)
    if not best.is_own and not best.beats_luck(tried):
        gained = "" if best.gain is None else f" (it gains {best.gain:.4f}, standard error {best.error:.4f})"
        say(
            f"\nThe best of {tried} trials by {metric} on validation gains no more over {best.strategy} as it is than "
            f"the best of {tried} would by luck{gained}. Keep the settings, or try again with more images."
        )
        return
    console.print(f"\nBest by {metric} on validation. Under train.strategies.{best.strategy}:")
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
