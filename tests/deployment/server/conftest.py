"""A project with registered models that are right by construction, and `graft serve` over it as a process."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from champions import CLASSES, move_champion, register
from running import Running, start
from tiny import make_project

from graft.core.project import Project

SIZE = 12
REPOSITORY = Path(__file__).parents[3]
# Of the section serve: small enough for tests to reach in a moment.
LIMITS = {
    "max_image_mb": 2,
    "max_request_mb": 4,
    "max_images": 8,
    "queue": 64,
    "timeout_seconds": 10,
    "poll_seconds": 0.2,
}


def write_channels(folder: Path, sharpness: float) -> Path:
    """A bundle that answers with the brightest channel, the surer the sharper."""
    import keras

    from graft.training.write_bundle import write_bundle

    inputs = keras.Input((SIZE, SIZE, 3), name="image")
    means = keras.layers.GlobalAveragePooling2D()(inputs)
    write_bundle(keras.Model(inputs, keras.layers.Rescaling(sharpness)(means)), CLASSES, SIZE, folder)
    return folder


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two bundles that agree on the label and differ in how sure they are."""
    folder = tmp_path_factory.mktemp("bundles")
    return [write_channels(folder / "mild", 1 / 50), write_channels(folder / "sharp", 1 / 25)]


@pytest.fixture(scope="module")  # some tests register versions that others must not meet
def registered(bundles: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Versions 1 (mild, the champion) and 2 (sharp) of the model ``tints``."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "GRAFT_CACHE"):
            patch.delenv(variable, raising=False)
        project = make_project(tmp_path_factory.mktemp("served") / "project")
        text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
        before, section, after = re.split(r"(?ms)^(serve:.*?)(?=^\w|\Z)", text, maxsplit=1)
        for key, value in LIMITS.items():
            section, count = re.subn(rf"(?m)^(  {key}:) \S+", rf"\1 {value}", section)
            assert count == 1, key
        text = before + section + after
        project.params_file.write_text(text, encoding="utf-8")
        assert [register(project, bundle) for bundle in bundles] == ["1", "2"]
        move_champion(project, "1")
    return project


@pytest.fixture(scope="module")
def server(registered: Project) -> Iterator[Running]:
    """A server without a token, which starts with version 1 as its champion."""
    move_champion(registered, "1")
    with start(registered) as running:
        yield running
