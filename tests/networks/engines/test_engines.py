"""Engines agree with Keras, on backbones of every build; what OpenVINO does not take over is run with Keras."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import DTypeLike
from tiny import tinted_images, write_hub_module

from graft.core.params.backbone_params import HubBackboneParams, KerasBackboneParams
from graft.networks.backbones import build_backbone
from graft.networks.engines import fastest as engines
from graft.networks.engines import openvino_run
from graft.networks.engines.conversion import openvino_network
from graft.networks.engines.devices import arithmetic
from graft.networks.engines.fastest import fastest_engine, keras_engine, openvino_engine
from graft.networks.engines.openvino_run import WORTH_CONVERTING

NAMES = ["VGG16", "MobileNet", "MobileNetV2", "MobileNetV3Small", "ResNet50", "DenseNet121", "EfficientNetB0"]
NAMES += ["EfficientNetV2B0", "ConvNeXtTiny", "Xception"]
QUICK = {"VGG16", "MobileNet", "MobileNetV2"}
SIZES = {"Xception": 71}


def agree(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 0
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in NAMES])
def test_openvino_answers_as_keras_does(name: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    size = SIZES.get(name, 32)
    params = KerasBackboneParams(source="keras", name=name, weights="none")
    model = build_backbone(params, size, tmp_path).model
    # More than one batch, the last one smaller.
    images = tinted_images(openvino_run.MANY + 3, size)[0]
    run, expected = openvino_engine(model), model(images.astype(np.float32)).numpy()
    agree(run(images), expected)
    agree(run(images[:3]), expected[:3])  # few have no fixed size
    as_floats = images.astype(np.float32)
    agree(run(as_floats), expected)
    agree(run(as_floats[:3]), expected[:3])


def test_openvino_answers_as_a_hub_module_does(tmp_path: Path) -> None:
    module = write_hub_module(tmp_path / "module", 16)
    model = build_backbone(HubBackboneParams(source="hub", name=str(module)), 16, tmp_path).model
    images = tinted_images(openvino_run.MANY + 3, 16)[0]
    run, expected = openvino_engine(model), model(images.astype(np.float32)).numpy()
    agree(run(images), expected)
    agree(run(images[:5]), expected[:5])


def test_maps_and_other_inputs_than_images() -> None:
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(5, 3)(inputs))
    activations = np.random.default_rng(0).normal(size=(20, 4, 4, 3)).astype(np.float32)
    agree(openvino_engine(model)(activations), keras_engine(model)(activations))


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("count", [openvino_run.MANY, 3])
def test_a_network_is_compiled_once_for_what_is_said_to_come(kind: type, count: int) -> None:
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(5, 3)(inputs))
    core = CountingCore()
    run = openvino_run.compiled_run(core, openvino_network(core, model, None), count, kind)
    assert core.compiled == 1
    run(np.ones((count, 4, 4, 3), kind))
    assert core.compiled == 1
    other = np.float32 if kind is np.uint8 else np.uint8
    np.testing.assert_array_equal(run(np.ones((count, 4, 4, 3), other)), run(np.ones((count, 4, 4, 3), kind)))
    assert core.compiled == 2


class CountingCore:
    """OpenVINO's, with a count of what it compiles."""

    def __init__(self) -> None:
        self.core = openvino_run.import_openvino().Core()
        self.compiled = 0

    def read_model(self, path: Path) -> Any:
        return self.core.read_model(path)

    def compile_model(self, *arguments: Any) -> Any:
        self.compiled += 1
        return self.core.compile_model(*arguments)


def test_few_inputs_are_not_worth_converting_for(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    monkeypatch.setattr(engines, "openvino_engine", lambda model, *_: used.append("openvino") or keras_engine(model))
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    fastest_engine(model, WORTH_CONVERTING - 1)
    assert used == []
    fastest_engine(model, WORTH_CONVERTING)
    assert used == ["openvino"]
    with arithmetic("mixed_bfloat16"):
        fastest_engine(model, WORTH_CONVERTING)
    assert used == ["openvino"]


def test_a_network_that_openvino_refuses_is_run_with_keras(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(model: keras.Model, kept: Path | None, count: int, kind: DTypeLike) -> engines.Run:
        raise RuntimeError("no such operation\nand a page more")

    monkeypatch.setattr(engines, "openvino_engine", refuse)
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs), name="odd")
    run = fastest_engine(model, 1000)
    assert "OpenVINO does not take odd over (no such operation): running it with Keras" in capsys.readouterr().out
    np.testing.assert_allclose(run(np.ones((3, 2))), model(np.ones((3, 2))), rtol=1e-5)


def test_openvino_has_nothing_to_report_with() -> None:
    code = (
        "from graft.networks.engines.openvino_run import import_openvino; import_openvino()\n"
        "import openvino.tools.ovc as o\n"
        "print(type(o.telemetry).__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split()[-1] == "openvino.tools.ovc.telemetry_stub"
