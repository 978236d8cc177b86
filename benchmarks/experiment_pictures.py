"""The pictures of an experiment, by one command: curves, confusion matrices, kernels, feature maps, an ablation.

Each strategy is trained once, by the functions that the stages call, and leaves NAME-batches.png (loss and accuracy of
each batch), NAME-epochs.png and NAME-confusion.png (test images). Of the first one the kernels of its first layer and
its maps of a test photograph are drawn. Where several are named, they count as the first with one option changed each:
ablation.csv, ablation.md and ablation.png tell what each is worth, on validation.

    python -m benchmarks.experiment_pictures data --recipe cifar10_cnn --strategy cnn no_augment no_l2 --out pictures

docs/experiments.md has the commands of experiments 1, 4 and 5.
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.prepared import prepare
from benchmarks.seeds import new_parser, read_params
from graft.core.environment import configure
from graft.core.errors import GraftError
from graft.core.illustration import DPI, new_figure
from graft.core.project import Project, find_project

if TYPE_CHECKING:
    import pandas as pd

    from graft.core.params import Params


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder of the pictures")
    parser.add_argument("--most", type=int, help="images of each class and split, for a short try")
    arguments = parser.parse_args()
    home = find_project()
    configure(home)
    raw = read_params(home, arguments)
    raw["split"]["seed"] = raw["train"]["seed"] = arguments.seeds[0]
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data.resolve()
        if arguments.most:
            data = first_images(data, Path(folder) / "photographs", arguments.most)
        for line in draw_experiment(raw, data, Path(folder) / "project", arguments.out):
            print(line)


def first_images(data: Path, target: Path, most: int) -> Path:
    """Copy the first images of each class folder, by name; return ``target``."""
    for folder in sorted(path for path in data.rglob("*") if path.is_dir()):
        for file in sorted(path for path in folder.iterdir() if path.is_file())[:most]:
            place = target / file.relative_to(data)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
    return target


def draw_experiment(raw: dict[str, Any], data: Path, root: Path, out: Path) -> list[str]:
    """Train and evaluate the strategies of ``train.run``, and write their pictures; return what is to be said.

    Args:
        raw: params.yaml as plain data.
        data: folder of photographs.
        root: a new folder, for a project.
        out: folder of the pictures.
    """
    from graft.core.params import parse_params
    from graft.networks.engines.tensorflow_import import import_tensorflow

    params = parse_params(raw)
    out.mkdir(parents=True, exist_ok=True)
    project = prepare(root, data, params)
    import_tensorflow()
    said = [_draw_strategy(project, params, name, out) for name in params.train.run]
    said += _look_inside(project, params.train.run[0], out)
    if len(params.train.run) > 1:
        table = ablation(project, params.train.run)
        table.to_csv(out / "ablation.csv", index=False, float_format="%.6g")
        _draw_ablation(table, out / "ablation.png")
        lines = as_markdown(table)
        (out / "ablation.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
        said += ["", *lines]
    return said


def _draw_strategy(project: Project, params: "Params", name: str, out: Path) -> str:
    """Train one strategy, draw its curves and its confusion matrix of the test images; return a line of figures."""
    import pandas as pd

    from graft.core.timing import StageClock
    from graft.evaluation.evaluate import TestImages, evaluate_bundle
    from graft.evaluation.figures import confusion_picture, learning_curves_picture
    from graft.training.train import train_strategy

    clock = StageClock("pictures")
    made = train_strategy(project, params.train, name, clock)
    made.clean_up()
    images = TestImages(project)
    found = evaluate_bundle(name, project.strategy(name), images, params.evaluate.batch_size, clock)
    learning_curves_picture(out / f"{name}-epochs.png", made.trained.fit.epochs, made.trained.fit.best_epoch, name)
    steps = pd.read_csv(project.strategy(name) / "steps.csv")
    if len(steps):  # a head that is solved has none
        _draw_batches(steps, out / f"{name}-batches.png", name)
    title = f"{name}, {len(images.table):,} test images"
    confusion_picture(out / f"{name}-confusion.png", found.evaluation.confusion, found.classes, title)
    test, val = found.evaluation.headline(), made.validation.headline()
    return (
        f"{name}: test accuracy {test['accuracy']:.2%}, log loss {test['log_loss']:.4f}; "
        f"validation {val['accuracy']:.2%}, {val['log_loss']:.4f}"
    )


def _draw_batches(steps: "pd.DataFrame", path: Path, title: str) -> None:
    """Draw loss and accuracy of every batch, and their mean over the batches around it: a tenth of all, at most 20."""
    figure, width = new_figure(9, 3.4), max(1, min(20, len(steps) // 10))
    for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(steps["step"], steps[metric], color="tab:blue", alpha=0.35, linewidth=0.8, label="each batch")
        mean = steps[metric].rolling(width, center=True, min_periods=1).mean()
        axes.plot(steps["step"], mean, color="tab:blue", label=f"mean of {width}")
        axes.set_xlabel("batch")
        axes.set_title(metric, fontsize=10)
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    figure.suptitle(f"{title}, training", fontsize=11)
    figure.savefig(path, dpi=DPI)


def _look_inside(project: Project, name: str, out: Path) -> list[str]:
    """Draw kernels and feature maps of a strategy's network; return what could not be drawn, and why."""
    from graft.bundle.record import read_settings
    from graft.data.splits.split_tables import read_splits
    from graft.networks.explain.look_inside import main_network
    from graft.registry.report.draw_network import draw_features, draw_kernels

    bundle = main_network(project.strategy(name) / "model")
    photograph = project.data / read_splits(project, ["test"])["test"]["path"].iloc[0]
    try:
        draw_kernels(bundle, out / f"{name}-kernels.png")
        draw_features(bundle, read_settings(bundle)["image_size"], photograph, out / f"{name}-features.png")
    except GraftError as error:
        return [f"No kernels or maps: {error}"]
    return []


def ablation(project: Project, names: Sequence[str]) -> "pd.DataFrame":
    """Return a row for each strategy: validation figures, and by how much its log loss is above that of the first.

    The standard error of the difference is that of :func:`graft.core.paired.difference`: over the same images, groups
    whole. Columns: strategy, accuracy, log_loss, cost, error.
    """
    import numpy as np
    import pandas as pd

    from graft.core.paired import difference, log_losses
    from graft.data.splits.image_groups import read_groups
    from graft.evaluation.prediction_table import probabilities_of, read_prediction_table

    losses, rows = {}, []
    for name in names:
        table = read_prediction_table(project.strategy(name) / "val_predictions.csv")
        labels, probabilities = probabilities_of(table)
        losses[name] = log_losses(probabilities, labels)
        groups = read_groups(project.training_groups, list(table["sha256"]))
        found = difference(losses[names[0]], losses[name], groups)
        rows.append(
            {
                "strategy": name,
                "accuracy": float(np.mean(probabilities.argmax(axis=1) == labels)),
                "log_loss": float(losses[name].mean()),
                "cost": found.gain,
                "error": found.error,
            }
        )
    return pd.DataFrame(rows)


def as_markdown(table: "pd.DataFrame") -> list[str]:
    """Return the lines of a table in Markdown."""
    first = table["strategy"].iloc[0]
    lines = [f"| strategy | accuracy | log loss | log loss above {first} |", "|---|---|---|---|"]
    for row in table.to_dict("records"):
        cost = "" if row["strategy"] == first else f"{row['cost']:+.4f} ± {row['error']:.4f}"
        lines.append(f"| {row['strategy']} | {row['accuracy']:.2%} | {row['log_loss']:.4f} | {cost} |")
    return lines


def _draw_ablation(table: "pd.DataFrame", path: Path) -> None:
    """Draw what each change costs, with two standard errors either side."""
    rows = table.iloc[1:]
    figure = new_figure(7, 1.2 + 0.4 * len(rows))
    axes = figure.subplots()
    axes.barh(rows["strategy"], rows["cost"], xerr=2 * rows["error"], color="tab:blue", alpha=0.7)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlabel(f"validation log loss above that of {table['strategy'].iloc[0]}, two standard errors either side")
    figure.savefig(path, dpi=DPI)


if __name__ == "__main__":
    main()
