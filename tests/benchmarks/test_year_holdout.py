"""The hold-out of a simulated year: each version is asked about it as it is registered, once."""

import math
from pathlib import Path

import pytest
from recorded import copy_of
from tiny import tinted_images

from benchmarks.year_holdout import HoldOut
from graft.bundle.model import ImageClassifier
from graft.core.params.models import RegisterParams
from graft.core.project import Project
from graft.registry.register import register_best


@pytest.mark.slow
def test_accuracy_is_that_of_the_registered_version(
    recorded: Project, tmp_path: Path, no_outside_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    project = copy_of(recorded, tmp_path / "project")
    registered = register_best(project, RegisterParams(), {"first": project.strategy("first")})
    model = ImageClassifier(project.strategy("first") / "model")
    images, labels = tinted_images(8, seed=9)
    aside: dict[str, list[Path]] = {}
    right = 0
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = tmp_path / f"{number}.png"
        Image.fromarray(image).save(path)
        name = sorted(model.classes)[label]
        aside.setdefault(name, []).append(path)
        probabilities = model.predict([path.read_bytes()])["probabilities"][0]
        right += max(probabilities, key=probabilities.__getitem__) == name
    hold_out = HoldOut(aside)
    assert hold_out.accuracy(project, registered.model, registered.version) == pytest.approx(
        right / len(hold_out.table)
    )
    monkeypatch.setattr("graft.registry.promotion.judge_challenger.ask", None)
    assert hold_out.accuracy(project, registered.model, registered.version) == pytest.approx(
        right / len(hold_out.table)
    )
    assert math.isnan(hold_out.accuracy(project, registered.model, ""))
    assert math.isnan(HoldOut({}).accuracy(project, registered.model, registered.version))
