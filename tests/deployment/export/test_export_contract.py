"""One contract for every export format: another one is another module and another row of FORMATS."""

import ast
import importlib
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from onnx_files import write_map

from graft.bundle.model import ImageClassifier
from graft.core.params.backbone_params import OnnxBackboneParams
from graft.deployment.export.bundle_source import ExportSource, prepare_saved_model
from graft.deployment.export.check_export import TOLERANCE
from graft.deployment.export.formats import FORMATS
from graft.networks.backbones import build_backbone
from graft.training.write_bundle import write_bundle

CLASSES, SIZE = ["a <b>", "ß", "c"], 8
IMAGES = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3)).astype(np.uint8)


@pytest.fixture(scope="module", params=["layers", "onnx backbone"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(1)
    folder = tmp_path_factory.mktemp("bundle")
    if request.param == "layers":
        inputs = keras.Input((SIZE, SIZE, 3))
        features = keras.layers.Conv2D(4, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(inputs))
    else:
        file = write_map(folder / "map.onnx", SIZE)
        params = OnnxBackboneParams(source="onnx", name=str(file), scaling="0..1")
        backbone = build_backbone(params, SIZE, folder).model
        inputs, features = backbone.input, backbone.output
    logits = keras.layers.Dense(3, kernel_initializer="random_normal")(keras.layers.Flatten()(features))
    write_bundle(keras.Model(inputs, 9 * logits), CLASSES, SIZE, folder / "model", temperature=1.5)
    return folder / "model"


@pytest.fixture(scope="module")
def source(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportSource:
    saved_model, size = prepare_saved_model(bundle, tmp_path_factory.mktemp("source") / "model")
    return ExportSource(saved_model, size, CLASSES, {"name": "contract"})


@pytest.fixture(params=FORMATS)
def module(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(f"graft.deployment.export.{request.param}")


def test_it_answers_as_the_bundle_does(module: Any, source: ExportSource, bundle: Path, tmp_path: Path) -> None:
    module.write(source, tmp_path)
    assert any(path.is_file() for path in tmp_path.rglob("*"))
    run = module.load(tmp_path)
    expected = ImageClassifier(bundle).probabilities({SIZE: IMAGES})
    assert np.ptp(expected, axis=0).max() > 0.02  # it does tell images apart
    for some in (IMAGES, IMAGES[:1]):
        found = run(some)
        assert found.shape == (len(some), len(CLASSES))
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=TOLERANCE)
        np.testing.assert_allclose(found, expected[: len(some)], atol=TOLERANCE)


def test_it_says_how_it_is_used(module: Any) -> None:
    names = [node for node in ast.walk(ast.parse(module.USAGE)) if isinstance(node, ast.Name)]
    assert "probabilities" in {name.id for name in names if isinstance(name.ctx, ast.Store)}
    low, high = module.INPUT_RANGE
    assert (low, high) in ((0, 1), (0, 255))
    assert np.dtype(module.INPUT_KIND).kind in "fu"


@pytest.mark.parametrize("name", FORMATS)
def test_the_libraries_that_make_it_are_installed(name: str) -> None:
    assert all(metadata.version(library) for library in FORMATS[name])


def test_the_command_names_every_format() -> None:
    from graft.cli.export import _chosen

    assert _chosen(["all"], int8=False) == list(FORMATS)
