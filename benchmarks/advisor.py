"""The advisor against a small exhaustive sweep: test accuracy of what each recommends, and the time each took.

The sweep (benchmarks/advisor.yaml, or --settings) trains every combination and lets validation choose; the advisor
is strategy `auto`. Times are of the CPU, and trials that an earlier call made are not among them. Each starts with an
empty feature store. The best of the sweep is trained once more for its test accuracy, outside the time that is counted.

    python -m benchmarks.advisor hands=path/to/rock_paper_scissors --group-by '(.+)-[0-9]+'
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from benchmarks.prepared import prepare
from graft.core.environment import configure
from graft.core.params import Params
from graft.core.project import Project, find_project

RECORD_FILE = "advisor.json"
MIRRORED = {
    "none": "",
    "horizontal": ", mirrored horizontally",
    "vertical": ", mirrored vertically",
    "horizontal_and_vertical": ", mirrored both ways",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", help="folder of photographs")
    parser.add_argument("--name", help="what to call it (default: the folder's)")
    parser.add_argument("--work", type=Path, help="folder to work in; trials that are there count")
    parser.add_argument("--table", type=Path, nargs="+", help="folders worked in before: print their table")
    parser.add_argument("--settings", type=Path, default=Path(__file__).with_suffix(".yaml"))
    parser.add_argument("--group-by", help="as split.group_by in params.yaml")
    parser.add_argument("--val", type=float, default=0.2, help="share of validation images")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=["advisor", "sweep"], help="one of both (default: both)")
    arguments = parser.parse_args()
    if arguments.table:
        print(
            table(
                [json.loads((folder / RECORD_FILE).read_text(encoding="utf-8")) for folder in arguments.table]
            )
        )
        return
    if arguments.data is None or arguments.work is None:
        parser.error("name a folder of photographs, and --work")
    home = find_project()
    configure(home)
    params = read_settings(home, arguments)
    project = prepare(arguments.work.resolve(), arguments.data.resolve(), params)

    from graft.networks.engines.tensorflow_import import import_tensorflow

    import_tensorflow()
    record_file = arguments.work / RECORD_FILE
    record = json.loads(record_file.read_text(encoding="utf-8")) if record_file.exists() else {}
    record["name"] = arguments.name or arguments.data.resolve().name
    if arguments.only != "sweep":
        cache = cold_cache(home, project, "advisor")
        shutil.rmtree(cache / "features", ignore_errors=True)  # of an earlier call
        os.environ["GRAFT_CACHE"] = str(cache)
        record["advisor"] = run_advisor(project, params)
    if arguments.only != "advisor":
        os.environ["GRAFT_CACHE"] = str(cold_cache(home, project, "sweep"))
        record["sweep"] = run_exhaustive(project, params)
    record_file.write_text(json.dumps(record, indent=1), encoding="utf-8")
    if {"advisor", "sweep"} <= set(record):
        print(table([record]))


def read_settings(home: Project, arguments: argparse.Namespace) -> Params:
    """params.yaml with the sections of the settings file on top."""
    from ruamel.yaml import YAML

    from graft.core.params import parse_params

    yaml = YAML(typ="safe")
    raw: dict[str, Any] = yaml.load(home.params_file.read_text(encoding="utf-8"))
    settings = yaml.load(arguments.settings.read_text(encoding="utf-8"))
    raw["train"] |= {
        **settings["train"],
        "run": list(settings["train"]["strategies"]),
        "seed": arguments.seed,
    }
    raw["sweep"] = settings["sweep"]
    raw["ensemble"]["run"] = []
    raw["split"] |= {"seed": arguments.seed, "val_size": arguments.val}
    if arguments.group_by:
        raw["split"]["group_by"] = arguments.group_by
    return parse_params(raw)


def cold_cache(home: Project, project: Project, name: str) -> Path:
    """A cache with the home's weights and downloads, and a feature store of its own, kept for the next call."""
    folder = project.root / "caches" / name
    folder.mkdir(parents=True, exist_ok=True)
    for path in (home.root / ".graft" / "cache").resolve().iterdir():
        if path.name != "features" and not (folder / path.name).exists():
            (folder / path.name).symlink_to(path)
    return folder


def run_exhaustive(project: Project, params: Params) -> dict[str, Any]:
    """Sweeps, and trains the best once more for its test accuracy."""
    from graft.training.sweep import run_sweep, tried

    before = cpu_seconds()
    trials = run_sweep(project, params, lambda trial: print(json.dumps(vars(trial)), flush=True))
    spent = cpu_seconds() - before
    best = trials[0]
    return {
        "best": {"strategy": best.strategy, **best.settings},
        "trials": len(trials),
        "seconds": sum(trial.seconds for trial in trials),
        "cpu_seconds": spent,
        "val_accuracy": best.figures["accuracy"],
        "test_accuracy": test_accuracy(project, params, best.strategy, tried(params, best)),
        "all": [vars(trial) for trial in trials],
    }


def run_advisor(project: Project, params: Params) -> dict[str, Any]:
    """Trains strategy `auto`, measuring included."""
    started, before = time.perf_counter(), cpu_seconds()
    test = test_accuracy(project, params, "auto", params.train.strategies["auto"])
    seconds, spent = time.perf_counter() - started, cpu_seconds() - before
    advice = json.loads((project.strategy("auto") / "advice.json").read_text(encoding="utf-8"))
    metrics = json.loads((project.strategy("auto") / "metrics.json").read_text(encoding="utf-8"))
    return {
        "advice": advice,
        "seconds": seconds,
        "cpu_seconds": spent,
        "val_accuracy": metrics["val"]["accuracy"],
        "test_accuracy": test,
    }


def table(records: list[dict[str, Any]]) -> str:
    """Markdown: for each data set what was advised, what the sweep chose, both on test, and the time."""
    lines = [
        "| data | images | advice | val | test | best of the sweep | val | test | difference on test "
        "| CPU time, advisor / sweep |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for record in records:
        advisor, sweep = record["advisor"], record["sweep"]
        strategy = advisor["advice"]["strategy"]
        what = f"`{strategy['kind']}` {strategy['backbone']['name']}"
        if strategy["kind"] == "fine_tune":
            what += f", last {strategy['unfreeze']} layers"
        flip = strategy["flip"] if strategy["kind"] == "frozen" else strategy["augment"]["flip"]
        what += MIRRORED[flip]
        best = sweep["best"]
        settings = ", ".join(f"{key} {value}" for key, value in best.items() if key != "strategy")
        difference = 100 * (advisor["test_accuracy"] - sweep["test_accuracy"])
        ratio = advisor["cpu_seconds"] / sweep["cpu_seconds"]
        lines.append(
            f"| {record['name']} | {advisor['advice']['images']:,} "
            f"| {what} | {advisor['val_accuracy']:.2%} | {advisor['test_accuracy']:.2%} "
            f"| `{best['strategy']}` {settings} "
            f"| {sweep['val_accuracy']:.2%} | {sweep['test_accuracy']:.2%} | {difference:+.2f} "
            f"| {advisor['cpu_seconds']:.0f} s / {sweep['cpu_seconds']:.0f} s = {ratio:.0%} |"
        )
    return "\n".join(lines)


def cpu_seconds() -> float:
    """Of this process and those it has waited for: other work on the machine changes it little."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def test_accuracy(project: Project, params: Params, name: str, strategy: Any) -> float:
    """Trains a strategy as given and evaluates it on test."""
    from graft.core.timing import StageClock
    from graft.evaluation.evaluate import TestImages, evaluate_bundle
    from graft.training.train import train_strategy

    train = params.train.model_copy(update={"strategies": {**params.train.strategies, name: strategy}})
    clock = StageClock("advisor")
    train_strategy(project, train, name, clock)
    images = TestImages(project)
    found = evaluate_bundle(name, project.strategy(name), images, params.evaluate.batch_size, clock)
    return found.evaluation.accuracy


if __name__ == "__main__":
    main()
