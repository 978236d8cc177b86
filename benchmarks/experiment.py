"""Experiment 1 with graft, from the first import to the test accuracy: rock-paper-scissors, a frozen MobileNetV2.

One process, with the functions that the stages call, and without DVC, Prefect and MLflow.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("home", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--dropout", type=float, default=0.5)
    a = parser.parse_args()
    from graft.environment import configure
    from graft.project import Project

    project = Project(a.home)
    a.home.mkdir(parents=True, exist_ok=True)
    configure(project)
    t0 = time.perf_counter()
    from graft.data.layout import read_layout
    from graft.data.manifest import read_manifest
    from graft.data.scanning import scan
    from graft.data.split_tables import write_split_tables
    from graft.data.splitting import make_split
    from graft.params.load import parse_params
    from graft.timing import StageClock
    from ruamel.yaml import YAML
    from graft.recipes import read_recipe, with_recipe
    text = with_recipe(Path("params.yaml").read_text(), read_recipe("rock_paper_scissors_frozen"))
    raw = YAML(typ="safe").load(text)
    raw["train"]["strategies"]["frozen"]["head"]["dropout"] = a.dropout
    params = parse_params(raw)
    print("params", time.perf_counter() - t0)
    clock = StageClock("x")
    if not (project.data).exists():
        project.data.symlink_to(a.data.resolve(), target_is_directory=True)
    project.artifacts("validate").mkdir(parents=True, exist_ok=True)
    with clock.span("scan"):
        scan(read_layout(project.data), params.validate_, project.manifest, project.scan_memory)
    with clock.span("split"):
        division = make_split(read_manifest(project.manifest), params.split)
        write_split_tables(division.tables, division.summary, project.artifacts("split"))
    with clock.span("tf"):
        from graft.tensorflow_import import import_tensorflow
        import_tensorflow()
    with clock.span("imports2"):
        from graft.evaluation.evaluate import TestImages, evaluate_candidate
        from graft.training.train import train_strategy
    with clock.span("train"):
        trained = train_strategy(project, params.train, "frozen", clock)
    with clock.span("evaluate"):
        evaluation = evaluate_candidate(project, "frozen", project.strategy("frozen"), TestImages(project, clock), params, clock)
    print(json.dumps({"s": clock.by_name(), **evaluation.headline(), "total": time.perf_counter()-t0}, indent=1))


if __name__ == "__main__":
    main()
