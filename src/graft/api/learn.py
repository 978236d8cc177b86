"""From split tables to a champion: train, evaluate, compare, promote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graft.core.errors import GraftError, did_you_mean
from graft.core.project import Project

if TYPE_CHECKING:
    import pandas as pd

    from graft.api.shown import Promotion, TestResults, Training
    from graft.core.params import Params
    from graft.core.timing import StageClock


def train(project: Project, name: str = "frozen") -> Training:
    """Train one strategy of params.yaml, or make one ensemble, as the stages of the pipeline do.

    Needs what :func:`split` leaves. Leaves ``artifacts/train/<name>`` (an ensemble: ``artifacts/ensemble/<name>``) with
    the model, and a run in MLflow. An interrupted training carries on where it was.

    Args:
        name: a key of ``train.strategies`` or of ``ensemble.ensembles``.

    Returns:
        Figures on validation and the history; in a notebook it shows confusion matrix and learning curves.

    Raises:
        GraftError: there is no such strategy, a setting does not fit, or weights cannot be had.

    Example:
        >>> training = graft.train(project, "frozen")
        >>> 0 <= training.figures["accuracy"] <= 1
        True
    """
    from graft.api.shown import Training
    from graft.core.lock import project_lock
    from graft.core.params import load_params
    from graft.core.timing import StageClock
    from graft.data.splits.split_tables import read_splits
    from graft.networks.engines.tensorflow_import import import_tensorflow

    params = load_params(project.params_file)
    strategies, ensembles = params.train.strategies, params.ensemble.ensembles
    if name not in strategies and name not in ensembles:
        raise GraftError(f"There is no strategy or ensemble '{name}'", did_you_mean(name, [*strategies, *ensembles]))
    import_tensorflow()
    with project_lock(project):
        if name in strategies:
            from graft.registry.runs.strategy_runs import record_training, training_run
            from graft.training.train import train_strategy

            clock = StageClock(f"train@{name}")
            _choose_where_open(project, params, name, clock)
            with training_run(project, params.train, name, clock) as run_id:
                result = train_strategy(project, params.train, name, clock)
                record_training(project, run_id, result, read_splits(project, ["train", "val"]), clock)
                result.clean_up()
            fit = result.trained.fit
            return Training(name, result.task.classes, result.validation, run_id, fit.epochs, fit.best_epoch)
        from graft.registry.runs.ensemble_runs import ensemble_run, record_ensemble
        from graft.training.ensembles.make_ensemble import make_ensemble

        clock = StageClock(f"ensemble@{name}")
        with ensemble_run(project, ensembles[name], name, clock) as run_id:
            ensemble = make_ensemble(project, ensembles[name], name, clock)
            print(ensemble.summary())
            record_ensemble(project, run_id, ensemble, read_splits(project, ["val"])["val"], clock)
        return Training(name, ensemble.classes, ensemble.validation, run_id)


def _choose_where_open(project: Project, params: Params, name: str, clock: StageClock) -> None:
    """Run stage choose where the strategy leaves to auto what is not chosen for this split and params.yaml."""
    from graft.analysis.choose.choose_project import choose_for_project
    from graft.analysis.choose.chosen_values import settings_file

    strategy = params.train.strategy(name)
    if not strategy.to_choose:
        return
    chosen = settings_file(project.artifacts("choose"), name)
    made_from = (project.split_table("train"), project.split_table("val"), project.params_file)
    if not chosen.is_file() or any(path.stat().st_mtime > chosen.stat().st_mtime for path in made_from):
        choose_for_project(project, params, clock, name)


def evaluate(project: Project, *names: str) -> TestResults:
    """Run trained models over the test photographs, on which nothing was trained, as the stage evaluate does.

    Leaves ``artifacts/evaluate``, and the figures in the models' MLflow runs.

    Args:
        names: of strategies and ensembles; by default all that are trained.

    Returns:
        Figures, confusion matrices and mistakes of each; in a notebook it shows the mistakes as contact sheets.

    Raises:
        GraftError: nothing is trained, or not what is named.

    Example:
        >>> results = graft.evaluate(project)
        >>> list(results.figures.columns)
        ['accuracy', 'macro_f1', 'log_loss']
    """
    from graft.api.shown import TestResults
    from graft.core.lock import project_lock
    from graft.core.params import load_params
    from graft.core.timing import StageClock
    from graft.evaluation.evaluate import evaluate_models
    from graft.registry.runs.strategy_runs import record_evaluations

    params = load_params(project.params_file)
    trained = _trained(project, params)
    for name in names:
        if name not in trained:
            raise GraftError(f"'{name}' is not trained", f"Train it: graft.train(project, {name!r})")
    folders = {name: trained[name] for name in names} if names else trained
    clock = StageClock("evaluate")
    with project_lock(project):
        evaluate_models(project, folders, params, clock)
        record_evaluations(project, folders, clock)
    return TestResults(project, list(folders))


def compare(project: Project, *names: str) -> pd.DataFrame:
    """Compare models on the same test photographs, as `graft compare` does.

    Args:
        names: of evaluated strategies and ensembles, ids of MLflow runs, or registered versions (``"3"``,
            ``"champion"``, ``"models:/NAME/3"``); the others are compared with the first. By default all that are
            evaluated, with the one first that :func:`promote` registers: the best on validation.

    Returns:
        A row for each model. Figures of validation and test are ``val_`` and ``test_`` accuracy, macro_f1 (0..1) and
        log_loss (nats), and ``test_accuracy_low`` and ``_high`` the 95 % interval; ``difference`` is its accuracy on
        test less that of the first (-1..1), between ``difference_low`` and ``difference_high``; ``p`` McNemar's exact
        p-value; ``answer`` says whether the two differ at the level 0.05 (see :mod:`graft.evaluation.comparison`).
        Where photographs belong together, intervals are of whole groups.

    Raises:
        GraftError: nothing is evaluated, there is no such model, or they have no test photograph in common.

    Example:
        >>> graft.compare(project).loc["frozen", "answer"]
        'best on validation'
    """
    import pandas as pd

    from graft.core.model_folders import in_order_of_promise, model_folders, read_figures
    from graft.core.params import load_params
    from graft.registry.register import choose_best
    from graft.registry.runs.named_predictions import compare_named

    params = load_params(project.params_file)
    chosen, first = list(dict.fromkeys(names)), "the first"
    if not chosen:
        folders = _evaluated(project, params)
        best, _ = choose_best(in_order_of_promise(project, folders), params.register_.metric, project.training_groups)
        chosen, first = [best, *(name for name in folders if name != best)], "best on validation"
    found = compare_named(project, params, chosen)
    differences = {one.name: one.comparison for one in found.differences}
    trained = model_folders(project, params)
    rows = {}
    for name in dict.fromkeys([*(one for one in trained if one in chosen), *chosen]):
        own, against = found.figures[name], differences.get(name)
        val = read_figures(trained[name])["val"] if name in trained else {}
        accuracy = own["accuracy"].interval
        assert accuracy is not None
        rows[name] = {
            **{f"val_{key}": value for key, value in val.items()},
            **{f"test_{key}": figure.value for key, figure in own.items()},
            "test_accuracy_low": accuracy.low,
            "test_accuracy_high": accuracy.high,
            "difference": against.difference if against else 0.0,
            "difference_low": against.low if against else 0.0,
            "difference_high": against.high if against else 0.0,
            "p": against.mcnemar_p if against else 1.0,
            "answer": against.answer if against else first,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def promote(project: Project, *, reason: str = "", without_gate: bool = False) -> Promotion:
    """Register the model that is best on validation, judge it by the gate, and make it champion where it passes.

    As the stage register, `graft gate` and `graft promote` do, one after the other. The gate wants to know what a model
    was made from: commit data.dvc and params.yaml with git before training.

    Args:
        reason: why; stays in the history.
        without_gate: also where the gate refuses; then ``reason`` is needed.

    Returns:
        The version that is champion now, and what the gate found by each of its rules.

    Raises:
        GraftError: nothing is evaluated, the gate refuses the model, or it is champion already.

    Example:
        >>> promotion = graft.promote(project, reason="the first one", without_gate=True)
        >>> promotion.version
        '1'
    """
    from graft.api.shown import Promotion
    from graft.core.lock import project_lock
    from graft.core.params import load_params
    from graft.registry.aliases import registered_name
    from graft.registry.promotion import promote as promotion
    from graft.registry.promotion.gate import run_gate
    from graft.registry.register import register_best

    params = load_params(project.params_file)
    with project_lock(project):
        registered = register_best(project, params.register_, _evaluated(project, params))
    registry = promotion.open_registry(project, registered_name(project, params.register_))
    promotion.require_promotable(registry.model, registry.line(), registered.version, without_gate)
    verdict = run_gate(project, params, registry, registered.version)
    changed = promotion.promote(registry, registered.version, reason, forced=without_gate)
    return Promotion(changed.model, changed.entry.version, registered.strategy, verdict)


def _trained(project: Project, params: Params) -> dict[str, Path]:
    """Return the folders of what is trained and recorded, whether or not ``run`` in params.yaml names it."""
    train, ensemble = params.train, params.ensemble
    # Those that are run come first: of equal models the first one is registered.
    folders = {name: project.strategy(name) for name in [*train.run, *train.strategies]}
    folders |= {name: project.ensemble(name) for name in [*ensemble.run, *ensemble.ensembles]}
    found = {name: folder for name, folder in folders.items() if (folder / "run.json").is_file()}
    if not found:
        raise GraftError("No model is trained yet", "Train one: graft.train(project, 'frozen')")
    return found


def _evaluated(project: Project, params: Params) -> dict[str, Path]:
    metrics = project.artifacts("evaluate") / "metrics"
    found = {name: folder for name, folder in _trained(project, params).items() if (metrics / f"{name}.json").is_file()}
    if not found:
        raise GraftError("No model is evaluated yet", "Evaluate what is trained: graft.evaluate(project)")
    return found
