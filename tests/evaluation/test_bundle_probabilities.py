"""The quick ways to a bundle's probabilities come to what the bundle itself answers, or it answers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from pydantic import TypeAdapter
from tiny import SIZE, clock, tiny_params

from graft.bundle.model import HEAD, ImageClassifier
from graft.bundle.record import read_settings, write_settings
from graft.core.params.backbone_params import BackboneParams
from graft.core.project import Project
from graft.evaluation import bundle_probabilities as answers
from graft.evaluation.bundle_probabilities import EvaluationInputs, bundle_probabilities
from graft.evaluation.evaluate import TestImages as Images
from graft.networks import backbones
from graft.networks import decode_images as images_module
from graft.networks.backbones import build_backbone
from graft.networks.engines.fastest import openvino_engine
from graft.networks.engines.open_classifier import open_classifier
from graft.networks.features.feature_store import FeatureStore
from graft.networks.features.frozen_backbone import FrozenBackbone
from graft.training.train import train_strategy

SIDE = 32  # the least that MobileNet takes
FROZEN = {
    "kind": "frozen",
    "image_size": SIDE,
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 0.01,
    "flip": "horizontal",
}


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "SAMPLE", 3)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the images that are decoded."""
    names: list[str] = []
    load = images_module.load_images

    def watched(root: Path, paths: list[str], *arguments: Any) -> np.ndarray:
        names.extend(paths)
        return load(root, paths, *arguments)

    monkeypatch.setattr(images_module, "load_images", watched)
    return names


def train(project: Project, name: str, **changes: object) -> ImageClassifier:
    # From a file: random weights are others each time that the backbone is built.
    weights = project.root / "mobilenet.weights.h5"
    if not weights.exists():
        keras.utils.set_random_seed(1)
        network = keras.applications.MobileNet(include_top=False, input_shape=(SIDE, SIDE, 3), weights=None)
        # Larger than random weights are: through those all images come to nearly the same.
        network.set_weights([6 * value if value.ndim > 1 else value for value in network.get_weights()])
        network.save_weights(weights)
    params = tiny_params(backbone={"source": "keras", "name": "MobileNet", "weights": str(weights)})
    raw = params.train.model_dump()
    raw["strategies"]["kept"] = {**FROZEN, **changes}
    train_strategy(project, type(params.train)(**raw), name, clock())
    return open_classifier(project.strategy(name) / "model")


def evaluation_inputs(project: Project, images: Images, store: FeatureStore | None) -> EvaluationInputs:
    return EvaluationInputs(images.at, len(images.table), 4, store, project.cache)


def served(model: ImageClassifier, images: Images, size: int) -> np.ndarray:
    return model.probabilities({size: images.at(size).inputs})


def test_of_a_head_only_the_features_are_asked_for(project: Project, decoded: list[str]) -> None:
    model = train(project, "kept")
    store, images = FeatureStore(project.features, 10**9), Images(project)
    decoded.clear()
    first = bundle_probabilities(model, evaluation_inputs(project, images, store), "test")
    assert set(decoded) == set(images.table["path"])
    np.testing.assert_allclose(first, served(model, images, SIDE), atol=1e-4)
    # Another head: its features are known, and only the sample that is held against it is decoded.
    other = train(project, "kept", head={"dropout": 0.5}, learning_rate=0.05)
    again = Images(project)
    decoded.clear()
    found = bundle_probabilities(other, evaluation_inputs(project, again, store), "test")
    assert len(decoded) == answers.SAMPLE
    np.testing.assert_allclose(found, served(other, again, SIDE), atol=1e-4)
    assert np.abs(found - first).max() > 1e-3
    assert np.ptp(found, axis=0).max() > 1e-3


def test_a_kept_network_is_run_without_its_backbone_being_built(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, images = train(project, "kept"), Images(project)
    store, (part,) = FeatureStore(project.features, 10**9), model.parts
    described = read_settings(part.bundle)["features"]
    backbone = build_backbone(TypeAdapter(BackboneParams).validate_python(described["backbone"]), SIDE, project.cache)
    network = FrozenBackbone.of(backbone).network_description
    kept = store.network(network)
    openvino_engine(backbone.model, kept)
    builds: list[str] = []
    build = backbones.build_backbone
    monkeypatch.setattr(backbones, "build_backbone", lambda *given: builds.append("") or build(*given))
    found = bundle_probabilities(model, evaluation_inputs(project, images, store), "test")
    assert not builds
    np.testing.assert_allclose(found, served(model, images, SIDE), atol=1e-4)
    # One that is not what was written is not run: the backbone is built again.
    (kept / "network.bin").write_bytes(b"torn")
    empty = FeatureStore(project.features, 10**9, "float16")
    assert empty.network(network) == kept
    again = bundle_probabilities(model, evaluation_inputs(project, images, empty), "test")
    assert builds
    np.testing.assert_allclose(again, found, atol=1e-3)


def test_of_any_other_bundle_the_images_are_run(project: Project) -> None:
    model, images = train(project, "small"), Images(project)
    found = bundle_probabilities(
        model, evaluation_inputs(project, images, FeatureStore(project.features, 10**9)), "test"
    )
    np.testing.assert_allclose(found, served(model, images, SIZE), atol=1e-4)


def test_of_a_bundle_of_before_heads_were_kept_apart_the_images_are_run(project: Project) -> None:
    model, images = train(project, "kept"), Images(project)
    store, (part,) = FeatureStore(project.features, 10**9), model.parts
    expected = bundle_probabilities(model, evaluation_inputs(project, images, store), "test")
    shutil.rmtree(part.bundle / HEAD)
    settings = read_settings(part.bundle)
    del settings["features"]["count"]
    write_settings(part.bundle, settings)
    earlier = open_classifier(part.bundle)
    found = bundle_probabilities(earlier, evaluation_inputs(project, images, store), "test")
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_differs_from_the_bundle_is_not_believed(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, images = train(project, "kept"), Images(project)
    monkeypatch.setattr(
        answers, "_by_features", lambda part, inputs, label: np.roll(served(model, images, SIDE), 1, axis=1)
    )
    found = bundle_probabilities(model, evaluation_inputs(project, images, None), "test")
    assert "what is served differs by" in capsys.readouterr().out
    np.testing.assert_allclose(found, served(model, images, SIDE), atol=1e-6)


def test_a_head_that_openvino_does_not_take_over_is_run_with_all_of_the_network(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(folder: Path) -> None:
        raise RuntimeError("no such operation")

    monkeypatch.setattr(answers, "saved_model_run", refuse)
    model, images = train(project, "kept"), Images(project)
    store = FeatureStore(project.features, 10**9)
    found = bundle_probabilities(model, evaluation_inputs(project, images, store), "test")
    assert "(no such operation): running all of the network" in capsys.readouterr().out
    np.testing.assert_allclose(found, served(model, images, SIDE), atol=1e-6)


def test_features_of_other_code_are_not_taken_for_those_of_the_bundle(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, images = train(project, "kept"), Images(project)
    (part,), store = model.parts, FeatureStore(project.features, 10**9)
    settings = read_settings(part.bundle)
    described = settings["features"]
    other = {**described, "description": {**described["description"], "code": "of another day"}}
    inputs = evaluation_inputs(project, images, store)
    assert answers._features(part, described, inputs, "test") is not None
    assert answers._features(part, other, inputs, "test") is None
    monkeypatch.setattr(answers, "read_settings", lambda bundle: {**settings, "features": other})
    found = bundle_probabilities(model, inputs, "test")
    np.testing.assert_allclose(found, served(model, images, SIDE), atol=1e-4)


def test_known_images_are_answered_for_without_keras(project: Project) -> None:
    train(project, "kept")
    evaluation = """
import sys
from pathlib import Path
from graft.evaluation import bundle_probabilities as answers
from graft.evaluation.evaluate import TestImages, evaluate_bundle
from graft.networks.features.feature_store import FeatureStore
from graft.core.project import Project
from graft.core.timing import StageClock
answers.SAMPLE = 3
project = Project(Path(sys.argv[1]))
images, store = TestImages(project), FeatureStore(project.features, 10**9)
for _ in range(2):
    found = evaluate_bundle("kept", project.strategy("kept"), images, 4, StageClock("test"), store)
    print("loss", found.evaluation.log_loss, "keras" in sys.modules)
"""
    # In a process that has computed what was new, and in one that finds it.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    losses, has_keras = [], []
    for _ in range(2):
        output = subprocess.run(
            [sys.executable, "-c", evaluation, str(project.root)],
            check=True,
            capture_output=True,
            text=True,
            env=environment,
        ).stdout
        found = [line.split() for line in output.splitlines() if line.startswith("loss ")]
        losses += [float(loss) for _, loss, _ in found]
        has_keras += [word for _, _, word in found]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-4)
    assert has_keras == ["True", "True", "False", "False"]
