"""`graft cv`, `graft curve` and `graft ablate`: studies of a frozen strategy, on training images alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graft.cli import completion
from graft.cli.app import opened
from graft.cli.figure_tables import difference_in_words, figure_in_words, images_in_words
from graft.cli.options import JsonOption
from graft.cli.output import messages_aside, print_table, say, short, table_of
from graft.core.progress import console

if TYPE_CHECKING:
    import pandas as pd

    from graft.core.params import Params
    from graft.core.project import Project
    from graft.registry.runs.study_runs import Study
    from graft.training.studies.study_images import StudyImages

StrategyArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="STRATEGY",
        help="A frozen strategy whose head is solved. By default the first of train.run.",
        show_default=False,
        autocompletion=completion.strategies,
    ),
]
FoldsOption = Annotated[int, typer.Option(metavar="N", min=2, max=20, help="Parts that are left out in turn.")]


def cv(
    strategy: StrategyArgument = None,
    folds: FoldsOption = 5,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, max=100, help="How often the folds are dealt anew.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Cross-validate a frozen strategy on train and val: its figures, their range over folds and seeds.

    Groups stay whole, test images are not looked at. Predictions out of fold are kept under artifacts/cv, and the study
    becomes a run in MLflow.
    """
    project, params = opened()
    with messages_aside(as_json):
        images = _images(project, params, strategy)
        from graft.evaluation.all_figures import all_figures
        from graft.evaluation.prediction_table import with_probabilities
        from graft.registry.runs.study_runs import Study
        from graft.training.studies.cross_validation import FIGURES, cross_validated

        numbers = [params.train.seed + number for number in range(seeds)]
        found = cross_validated(images, folds, numbers)
        every = all_figures(images.labels, found.probabilities, images.classes, images.groups)
        predicted = [images.classes[index] for index in found.probabilities.argmax(axis=1)]
        predictions = with_probabilities(_table(images, predicted), images.classes, found.probabilities)
        tables = {"folds.csv": found.by_fold, "predictions.csv": predictions}
        settings = {"folds": folds, "seeds": seeds, "images": every.images, "groups": every.groups}
        rows = _rows(found.by_seed)
        folder = _keep(project, Study("cv", images.strategy, settings, rows, every.flat(), tables))
    if as_json:
        _print_json(images.strategy, settings, {"mean": every.flat(), "seeds": rows})
        return
    table = table_of(
        f"~{images.strategy}", "=all seeds,\nout of fold", ">mean of\nseeds", "=range of\nseeds", "=range of\nfolds"
    )
    for name in FIGURES:
        by_seed, by_fold = found.by_seed[name], found.by_fold[name]
        form = "{:.2%}" if name == "accuracy" else "{:.4f}"
        ranges = (f"{form.format(one.min())} to {form.format(one.max())}" for one in (by_seed, by_fold))
        table.add_row(name, figure_in_words(name, every.figures[name]), form.format(by_seed.mean()), *ranges)
    console.print()
    print_table(table, "mean of\nseeds")
    parts = len(found.by_fold) // len(numbers)
    say(f"{images_in_words(every.images, every.groups)} of train and val, {parts} folds, {seeds} seeds.")
    say(f"Predictions out of fold: {short(folder / 'predictions.csv')}")


def curve(strategy: StrategyArgument = None, as_json: JsonOption = False) -> None:
    """Fit a frozen strategy to 10, 20, 50 and 100 % of the training photographs, to see whether more would help.

    Each share is judged by cross-validation on all images of train and val; test images are not looked at. The answer
    compares the last two shares on the same images.
    """
    project, params = opened()
    with messages_aside(as_json):
        images = _images(project, params, strategy)
        from graft.evaluation.headline import Figure
        from graft.evaluation.intervals import Interval
        from graft.registry.runs.study_runs import Study
        from graft.training.studies.learning_curve import learning_curve

        found = learning_curve(images, params.train.seed)
        rows = _rows(found.points)
        step = found.last_step
        figures = {"last_step": step.difference, "last_step_low": step.low, "last_step_high": step.high}
        settings = {"images": len(images.labels), "answer": found.answer}
        folder = _keep(project, Study("curve", images.strategy, settings, rows, figures, {"curve.csv": found.points}))
    if as_json:
        _print_json(images.strategy, settings, {**figures, "points": rows})
        return
    table = table_of(">share", ">photographs", "=accuracy", ">macro-F1", ">log loss")
    for row in rows:
        accuracy = Figure(row["accuracy"], Interval(row["low"], row["high"]))
        table.add_row(
            f"{row['share']:.0%}",
            f"{row['images']:,.0f}",
            figure_in_words("accuracy", accuracy),
            f"{row['macro_f1']:.4f}",
            f"{row['log_loss']:.4f}",
        )
    console.print()
    print_table(table, "log loss", "macro-F1")
    console.print(f"\n{found.answer}", markup=False)
    say(f"Kept in {short(folder / 'curve.csv')}")


def ablate(strategy: StrategyArgument = None, folds: FoldsOption = 5, as_json: JsonOption = False) -> None:
    """Leave out each option of a frozen strategy in turn, to see what it is worth.

    Options are its networks, mirror images, the depths below the top, and balanced classes, as far as they are on. All
    are judged on the same folds of train and val; test images are not looked at.
    """
    project, params = opened()
    with messages_aside(as_json):
        images = _images(project, params, strategy)
        import pandas as pd

        from graft.core.errors import GraftError
        from graft.registry.runs.study_runs import Study
        from graft.training.studies.ablation import ablate as leave_out

        found = leave_out(images, folds, params.train.seed)
        if len(found) < 2:
            raise GraftError(
                f"'{images.strategy}' has nothing to leave out: one network, its top layer, no mirror images",
                "Let stage choose find more: graft run --quality good",
            )
        rows: list[dict[str, Any]] = []
        for one in found:
            row: dict[str, Any] = {"without": one.option, **one.figures.headline()}
            if one.comparison is not None:
                row |= {"difference": one.comparison.difference, "low": one.comparison.low, "high": one.comparison.high}
            rows.append(row)
        settings = {"folds": folds, "images": len(images.labels)}
        _keep(project, Study("ablate", images.strategy, settings, rows, {}, {"ablation.csv": pd.DataFrame(rows)}))
    if as_json:
        _print_json(images.strategy, settings, {"rows": rows})
        return
    table = table_of(
        f"~{images.strategy} without", ">accuracy", "=points of\naccuracy", "=log loss\nhigher by", "=\nanswer"
    )
    for one in found:
        if one.comparison is None:
            table.add_row("nothing", f"{one.figures.accuracy:.2%}", "", "", "")
            continue
        step, (cost, error) = one.comparison, one.log_loss
        table.add_row(
            one.option,
            f"{one.figures.accuracy:.2%}",
            difference_in_words(step),
            f"{cost:+.4f} ± {error:.4f}",
            step.answer,
        )
    console.print()
    print_table(table, "log loss\nhigher by", "accuracy")


def _images(project: Project, params: Params, strategy: str | None) -> StudyImages:
    from graft.networks.engines.tensorflow_import import import_tensorflow

    import_tensorflow()
    from graft.training.studies.study_images import study_images

    return study_images(project, params, strategy)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _table(images: StudyImages, predicted: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    labels = [images.classes[index] for index in images.labels]
    return pd.DataFrame(
        {"sha256": images.sha256, "label": labels, "group": images.groups, "predicted": list(predicted)}
    )


def _keep(project: Project, study: Study) -> Path:
    """Write a study's tables into its folder, and the study into MLflow; return the folder."""
    from graft.core.files import replaced_file
    from graft.registry.runs.study_runs import record_study

    folder = project.artifacts(study.kind) / study.strategy
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in study.tables.items():
        with replaced_file(folder / name) as partial:
            table.to_csv(partial, index=False, lineterminator="\n", float_format="%.6g")
    record_study(project, study)
    return folder


def _print_json(strategy: str, settings: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    import json

    print(json.dumps({"strategy": strategy, **settings, **found}, indent=1))
