"""Accuracy of strategies over several seeds, on any folder of photographs: mean and range on the test split.

Each seed makes a new split (where the split is not the official one) and new initial weights. DVC, Prefect and
MLflow play no part: these are the functions that the stages call.

    python -m benchmarks.seeds data --strategy frozen --seeds 1 2 3
    python -m benchmarks.seeds data --strategy frozen --method stratified --val 600 --test 400 --image-size 224
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from graft.environment import configure
from graft.project import Project, find_project


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data", type=Path, help="folder with class folders, or train/ and test/ with class folders"
    )
    parser.add_argument("--strategy", nargs="+", default=["frozen"], help="names under train.strategies")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--method", choices=["auto", "official", "stratified", "group"], default="auto")
    parser.add_argument("--group-by", default="none", help="as split.group_by in params.yaml")
    parser.add_argument("--val", type=float, help="share, or number, of validation images")
    parser.add_argument("--test", type=float, help="share, or number, of test images")
    parser.add_argument("--image-size", type=int)
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="of the strategies, JSON values"
    )
    arguments = parser.parse_args()
    home = find_project()
    configure(home)
    os.environ["GRAFT_CACHE"] = str(home.cache)
    raw = read_params(home, arguments)

    results: dict[str, list[dict[str, float]]] = {name: [] for name in arguments.strategy}
    for seed in arguments.seeds:
        for name in arguments.strategy:
            started = time.perf_counter()
            figures = run_once(raw, arguments.data.resolve(), name, seed)
            results[name].append({**figures, "seconds": time.perf_counter() - started})
            line = "  ".join(f"{metric} {value:.4f}" for metric, value in results[name][-1].items())
            print(f"seed {seed}  {name}: {line}", flush=True)
    print()
    for name, runs in results.items():
        for metric in runs[0]:
            values = [run[metric] for run in runs]
            spread = f"range {min(values):.4f} to {max(values):.4f}"
            print(
                f"{name:12} {metric:10} mean {statistics.mean(values):.4f}  {spread}  over seeds {arguments.seeds}"
            )


def read_params(home: Project, arguments: argparse.Namespace) -> dict[str, Any]:
    """params.yaml with the command line's changes, as plain YAML data."""
    from ruamel.yaml import YAML

    raw = YAML(typ="safe").load(home.params_file.read_text(encoding="utf-8"))
    raw["split"]["method"] = arguments.method
    raw["split"]["group_by"] = arguments.group_by
    for key, value in (("val_size", arguments.val), ("test_size", arguments.test)):
        if value is not None:
            raw["split"][key] = int(value) if value >= 1 else value
    raw["train"]["run"] = arguments.strategy
    raw["ensemble"]["run"] = []
    if arguments.image_size:
        raw["train"]["image_size"] = arguments.image_size
    for name in arguments.strategy:
        for setting in arguments.set:
            key, _, value = setting.partition("=")
            raw["train"]["strategies"][name][key] = json.loads(value)
    return raw


def run_once(raw: dict[str, Any], data: Path, name: str, seed: int) -> dict[str, float]:
    """Splits, trains and evaluates one strategy with one seed; returns the figures of the test split."""
    from graft.data.layout import read_layout
    from graft.data.manifest import read_manifest
    from graft.data.scanning import scan
    from graft.data.split_tables import write_split_tables
    from graft.data.splitting import make_split
    from graft.params import parse_params
    from graft.tensorflow_import import import_tensorflow
    from graft.timing import StageClock

    raw["split"]["seed"] = raw["train"]["seed"] = seed
    params = parse_params(raw)
    root = Path(tempfile.mkdtemp(prefix="graft-seeds-"))
    try:
        (root / "data").symlink_to(data, target_is_directory=True)
        project = Project(root)
        project.artifacts("validate").mkdir(parents=True)
        scan(read_layout(project.data), params.validate_, project.manifest)
        division = make_split(read_manifest(project.manifest), params.split)
        write_split_tables(division.tables, division.summary, project.artifacts("split"))
        import_tensorflow()
        from graft.evaluation.evaluate import TestImages, evaluate_candidate
        from graft.training.train import train_strategy

        clock = StageClock("seeds")
        train_strategy(project, params.train, name, clock)
        images = TestImages(project)
        batch_size = params.evaluate.batch_size
        evaluation = evaluate_candidate(project, name, project.strategy(name), images, batch_size, clock)
        return evaluation.headline()
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
