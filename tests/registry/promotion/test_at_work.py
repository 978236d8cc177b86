"""What a candidate answered in the shadow, and what labels that came later say of it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from graft.core.params.monitor_params import LogParams
from graft.core.project import Project
from graft.deployment.monitor.observation import Observation, observe
from graft.deployment.monitor.prediction_log import LoggedPrediction, PredictionLog
from graft.deployment.monitor.shadow_answers import answers_in_shadow
from graft.registry.promotion import at_work
from graft.registry.promotion.at_work import ShadowAnswer, seen_at_work

HASHES = [f"{number:064x}" for number in range(40)]


def row(number: int, label: str, model: str, image: Observation) -> LoggedPrediction:
    return LoggedPrediction(replace(image, sha256=HASHES[number]), model, "d", label, 0.9)


def test_answers_of_one_version_beside_those_that_people_got(project: Project) -> None:
    image = replace(observe(b"none", 100), problem="")
    log = PredictionLog(project.prediction_log, LogParams())
    read = answers_in_shadow(project, LogParams(), "hands")
    assert read("3") == []
    with log:
        log.append(
            [
                row(0, "rock", "hands version 1 (champion)", image),
                row(0, "paper", "hands version 3 (shadow)", image),
                row(1, "rock", "hands version 1 (champion)", image),
                row(1, "rock", "hands version 2 (shadow)", image),
                row(2, "paper", "hands version 3 (shadow)", image),
            ]
        )
    assert read("3") == [ShadowAnswer(HASHES[0], "rock", "paper")]
    assert read("2") == [ShadowAnswer(HASHES[1], "rock", "rock")]


def test_labels_count_of_images_that_neither_model_learned_from(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seen_at_work(project, [], set(), 0.95) is None
    answers = [ShadowAnswer(one, "rock", "paper" if number < 10 else "rock") for number, one in enumerate(HASHES)]
    found = seen_at_work(project, answers, set(), 0.95)
    assert found is not None
    assert (found.images, found.differing, found.labelled, found.comparison) == (40, 10, 0, None)
    table = pd.DataFrame({"sha256": HASHES[:30], "label": "rock", "left_out": np.where(np.arange(30) < 1, "small", "")})
    monkeypatch.setattr(at_work, "read_manifest", lambda path, columns: table)
    found = seen_at_work(project, answers, set(HASHES[1:3]), 0.95)
    assert found is not None
    assert found.labelled == 27
    assert found.comparison is not None
    assert (found.comparison.only_champion_right, found.comparison.answer) == (7, "worse")
