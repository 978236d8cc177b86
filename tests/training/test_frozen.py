"""Strategy `frozen`: what the head learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny import SIZE, clock, tiny_params, write_hub_module

from graft.project import Project
from graft.training.strategies.frozen import mirror_views
from graft.training.train import train_strategy

IMAGES = np.arange(2 * 3 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3, 3)


@pytest.mark.parametrize(
    ("flip", "views"),
    [
        ("none", [IMAGES]),
        ("horizontal", [IMAGES, np.flip(IMAGES, 2)]),
        ("vertical", [IMAGES, np.flip(IMAGES, 1)]),
        (
            "horizontal_and_vertical",
            [IMAGES, np.flip(IMAGES, 2), np.flip(IMAGES, 1), np.flip(IMAGES, (1, 2))],
        ),
    ],
)
def test_an_image_is_seen_as_it_is_and_mirrored_in_each_way_named(flip: str, views: list[np.ndarray]) -> None:
    seen = mirror_views(IMAGES, flip)  # type: ignore[arg-type]
    assert len(seen) == len(views)
    for view, expected in zip(seen, views, strict=True):
        np.testing.assert_array_equal(view, expected)


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
