"""Accuracy of strategies over several seeds, on any folder of photographs: mean and range on the test split.

Each seed makes a new split (where the split is not the official one) and new initial weights. With --folds every
seed is a whole cross-validation, whose figure is the mean over its folds. DVC, Prefect and MLflow play no part:
these are the functions that the stages call.

    python -m benchmarks.seeds --strategy frozen --seeds 1 2 3
    python -m benchmarks.seeds --recipe rock_paper_scissors_frozen
    python -m benchmarks.seeds --recipe dogs_vs_cats_frozen --folds 5 --seeds 1
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.prepared import prepare
from graft.core.environment import configure
from graft.core.project import Project, find_project


def new_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options by which :func:`read_params` changes params.yaml."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "data",
        type=Path,
        nargs="?",
        default=Path("data"),
        help="folder with class folders, or train/ and test/ with class folders (default: data)",
    )
    parser.add_argument("--recipe", help="settings of `graft recipe list` instead of params.yaml")
    parser.add_argument("--strategy", nargs="+", help="names under train.strategies (default: train.run)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--folds", type=int, help="cross-validate: train once per fold")
    parser.add_argument("--method", choices=["auto", "official", "stratified", "group"])
    parser.add_argument("--group-by", help="as split.group_by in params.yaml")
    parser.add_argument("--val", type=float, help="share, or number, of validation images")
    parser.add_argument("--test", type=float, help="share, or number, of test images")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--weights", help="file of the backbone's weights, where its download does not answer")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of the strategies, JSON values")
    return parser


def main() -> None:
    arguments = new_parser(__doc__).parse_args()
    home = find_project()
    configure(home)
    os.environ["GRAFT_CACHE"] = str(home.cache)
    raw = read_params(home, arguments)
    names = raw["train"]["run"]

    results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for seed in arguments.seeds:
        for name in names:
            folds = []
            for fold in range(arguments.folds or 1):
                started = time.perf_counter()
                figures = run_once(raw, arguments.data.resolve(), name, seed, fold)
                folds.append({**figures, "seconds": time.perf_counter() - started})
                where = f"seed {seed}" + (f"  fold {fold}" if arguments.folds else "")
                line = "  ".join(f"{metric} {value:.4f}" for metric, value in folds[-1].items())
                print(f"{where}  {name}: {line}", flush=True)
            results[name].append({metric: statistics.mean(fold[metric] for fold in folds) for metric in folds[0]})
    print()
    for name, runs in results.items():
        for metric in runs[0]:
            values = [run[metric] for run in runs]
            spread = f"range {min(values):.4f} to {max(values):.4f}"
            print(f"{name:12} {metric:14} mean {statistics.mean(values):.4f}  {spread}  over seeds {arguments.seeds}")


def read_params(home: Project, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return params.yaml, or a recipe on top of it, with the command line's changes, as plain YAML data."""
    from ruamel.yaml import YAML

    from graft.core.recipes import read_recipe, with_recipe

    text = home.params_file.read_text(encoding="utf-8")
    if arguments.recipe:
        text = with_recipe(text, read_recipe(arguments.recipe))
    raw: dict[str, Any] = YAML(typ="safe").load(text)
    split, train = raw["split"], raw["train"]
    if arguments.folds:
        split |= {"method": "k_fold", "folds": arguments.folds}
    for key, value in (("method", arguments.method), ("group_by", arguments.group_by)):
        if value is not None:
            split[key] = value
    for key, value in (("val_size", arguments.val), ("test_size", arguments.test)):
        if value is not None:
            split[key] = int(value) if value >= 1 else value
    if arguments.strategy:
        train["run"] = arguments.strategy
    raw["ensemble"]["run"] = []
    if arguments.weights:
        train["backbone"]["weights"] = str(Path(arguments.weights).resolve())
    if arguments.image_size:
        train["image_size"] = arguments.image_size
    for name in train["run"]:
        for setting in arguments.set:
            key, _, value = setting.partition("=")
            section = train["strategies"][name]
            *parents, last = key.split(".")
            for parent in parents:
                section = section.setdefault(parent, {})
            section[last] = json.loads(value)
    return raw


def run_once(raw: dict[str, Any], data: Path, name: str, seed: int, fold: int = 0) -> dict[str, float]:
    """Split, train and evaluate one strategy with one seed; return figures of the test split, and of validation."""
    from graft.core.params import parse_params
    from graft.core.timing import StageClock
    from graft.networks.engines.tensorflow_import import import_tensorflow

    raw["split"]["seed"] = raw["train"]["seed"] = seed
    raw["split"]["fold"] = fold
    params = parse_params(raw)
    root = Path(tempfile.mkdtemp(prefix="graft-seeds-"))
    try:
        project = prepare(root, data, params)
        import_tensorflow()
        from graft.evaluation.evaluate import TestImages, evaluate_bundle
        from graft.training.train import train_strategy

        clock = StageClock("seeds")
        trained = train_strategy(project, params.train, name, clock)
        images, batch_size = TestImages(project), params.evaluate.batch_size
        evaluation = evaluate_bundle(name, project.strategy(name), images, batch_size, clock).evaluation
        validation = {f"val_{key}": value for key, value in trained.validation.headline().items()}
        return {**evaluation.headline(), **validation}
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
