"""Strategy `frozen`: what the head learns from."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from tiny import SIZE, clock, tiny_params, write_hub_module

from graft.core.project import Project
from graft.training.train import train_strategy


def test_mirrored_images_are_learned_from_and_validation_stays_as_it_is(
    project: Project, tmp_path: Path
) -> None:
    module = write_hub_module(tmp_path / "module", SIZE)
    steps, validated = {}, {}
    for flip in ("none", "horizontal"):
        strategy = {"kind": "frozen", "epochs": 1, "learning_rate": 0.05, "batch_size": 1, "flip": flip}
        params = tiny_params(
            run=["head"], backbone={"source": "hub", "name": str(module)}, strategies={"head": strategy}
        ).train
        train_strategy(project, params, "head", clock())
        steps[flip] = len(pd.read_csv(project.strategy("head") / "steps.csv"))
        validated[flip] = len(pd.read_csv(project.strategy("head") / "val_predictions.csv"))
    assert steps["horizontal"] == 2 * steps["none"] > 0
    assert validated["horizontal"] == validated["none"]
