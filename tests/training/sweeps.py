"""Sweeps for tests: params of one, what draws from a range, and trainings that cost nothing."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny import tiny_params

from graft.core.params import Params, parse_params
from graft.core.project import Project
from graft.training import run_sweep as module

DRAWN = {"trials": 14, "try": {"small": {"learning_rate": {"low": 0.0001, "high": 1.0}}}}


class StoppedError(Exception):
    """As a kill would."""


def params(sweep: dict[str, Any], **train: Any) -> Params:
    raw = tiny_params(**train).model_dump(by_alias=True, mode="json")
    return parse_params({**raw, "sweep": sweep})


@pytest.fixture
def nothing_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials whose figures follow from their settings at once."""

    def fit(project: Project, train: Any, name: str, clock: Any) -> Any:
        loss = abs(np.log(train.strategies[name].learning_rate) + 4)
        figures = {"log_loss": loss, "accuracy": 0.5, "macro_f1": 0.5}
        return SimpleNamespace(
            validation=SimpleNamespace(headline=lambda: figures),
            task=SimpleNamespace(checkpoint=project.checkpoints / "none"),
            validation_losses=lambda metric: np.array([loss, loss + 0.1]),
            val_table=pd.DataFrame({"sha256": ["a", "b"]}),
        )

    monkeypatch.setattr(module, "fit_strategy", fit)
    monkeypatch.setattr(module, "read_groups", lambda path, images: np.array(images))
