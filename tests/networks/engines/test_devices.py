"""Devices and precision: two devices take the steps of one, half precision trains, what is kept is float32."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import SIZE, clock, tinted_images, tiny_params, write_hub_module

from graft.bundle.model import HEAD, ImageClassifier
from graft.core.params.backbone_params import HubBackboneParams, KerasBackboneParams
from graft.core.params.strategy_params import FitParams, HeadParams, ScratchParams
from graft.core.project import Project
from graft.networks.backbones import build_backbone
from graft.networks.engines.devices import all_devices, arithmetic, device_count, in_float32
from graft.networks.engines.fastest import keras_engine
from graft.networks.head import build_head
from graft.training.batches import Batches
from graft.training.fit import Labelled, fit
from graft.training.head_on_backbone import classifier
from graft.training.strategies.scratch import build_network
from graft.training.strategy import Trained
from graft.training.train import train_strategy

HERE = Path(__file__).parent
CASES = ["an odd last batch", "a last batch of one, every option", "fine_tune"]


def in_a_process_of_its_own(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python on what is set once for a process, with this process' paths."""
    tests = HERE.parents[1]
    paths = os.pathsep.join([str(HERE), str(tests / "training"), str(tests), *sys.path])
    environment = dict(os.environ, PYTHONPATH=paths)
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


# --- two devices ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two_devices")
    in_a_process_of_its_own(str(HERE / "two_devices.py"), str(folder))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_devices_end_with_the_weights_and_figures_of_one(case: str, trainings: Path) -> None:
    one, two = (np.load(trainings / f"{case}-{devices}.npz") for devices in ("one", "two"))
    assert set(one.files) == set(two.files)
    for name in one.files:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-3, atol=1e-5, err_msg=name)
    assert not np.array_equal(one["losses"][0], one["losses"][-1])


@pytest.mark.slow
def test_a_model_of_two_devices_is_served_as_any(trainings: Path) -> None:
    images = tinted_images(5)[0]
    answers = [
        ImageClassifier(trainings / f"an odd last batch-{devices}" / "bundle").probabilities({16: images})
        for devices in ("one", "two")
    ]
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("count", range(1, 9))
def test_a_batch_is_filled_up_to_go_evenly_into_the_devices(count: int) -> None:
    inputs = np.arange(count, dtype=np.float32)[:, None]
    weights = np.array([0.5, 2.0])
    plain = Batches(inputs, np.arange(count) % 2, 2, batch_size=8, class_weights=weights)[0]
    shared = Batches(inputs, np.arange(count) % 2, 2, batch_size=8, class_weights=weights, devices=4)[0]
    total = len(shared[0])
    assert total == {1: 4, 2: 4, 3: 4, 4: 4}.get(count, 8)
    for one, other in zip(plain[:2], shared[:2], strict=True):
        np.testing.assert_array_equal(other[:count], one)
    assert not shared[1][count:].any()
    assert not shared[2][count:].any()
    # What the loss comes to: a mean over all that is in the batch.
    losses = np.arange(1, total + 1)
    assert (losses * shared[2]).mean() == pytest.approx((losses[:count] * plain[2]).mean(), rel=1e-5)


def test_one_device_needs_nothing_of_the_kind() -> None:
    with all_devices():
        assert device_count(build_head(3, 2, HeadParams(), seed=1)) == 1


# --- precision --------------------------------------------------------------------------------------------------


def test_the_policy_is_given_back_also_after_an_error() -> None:
    before = keras.config.dtype_policy().name
    with arithmetic("mixed_bfloat16") as chosen:
        assert chosen == keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == before
    with pytest.raises(KeyError), arithmetic("mixed_float16"):
        raise KeyError
    assert keras.config.dtype_policy().name == before


def test_auto_is_half_precision_only_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for gpus, expected in ((0, "float32"), (1, "mixed_float16")):
        monkeypatch.setattr("graft.networks.engines.devices.gpu_count", lambda gpus=gpus: gpus)
        with arithmetic("auto") as chosen:
            assert chosen == expected


def test_float32_is_float32_also_where_a_gpu_would_round_it() -> None:
    tf.config.experimental.enable_tensor_float_32_execution(True)
    with arithmetic("float32"):
        assert not tf.config.experimental.tensor_float_32_execution_enabled()


FROZEN = {"kind": "frozen", "epochs": 2, "batch_size": 8, "learning_rate": 0.01}
FINE_TUNE = {
    "kind": "fine_tune",
    "unfreeze": "conv_pw_13",
    "epochs": 1,
    "head_epochs": 1,
    "head_learning_rate": 0.01,
    "batch_size": 8,
    "learning_rate": 0.001,
}


@pytest.mark.parametrize(
    ("settings", "precision", "trained_in"),
    [
        (FROZEN, "auto", "float32"),
        (FROZEN, "mixed_bfloat16", "mixed_bfloat16"),
        (FINE_TUNE, "auto", "mixed_float16"),
        (FINE_TUNE, "float32", "float32"),
    ],
)
def test_on_a_gpu_networks_are_trained_in_half_precision_and_heads_on_features_are_not(
    settings: dict[str, Any], precision: str, trained_in: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graft.networks.engines.devices.gpu_count", lambda: 1)
    seen: list[str] = []
    params = tiny_params(strategies={"small": settings}, precision=precision, image_size=32).train
    module = import_module(f"graft.training.strategies.{settings['kind']}")
    train = module.train

    def watched(*arguments: Any) -> Trained:
        trained: Trained = train(*arguments)
        seen.append(trained.precision)
        return trained

    monkeypatch.setattr(module, "train", watched)
    made = train_strategy(project, params, "small", clock())
    assert seen == [trained_in]
    assert made.trained.precision == "float32"
    # Its head apart is what evaluation gives stored features to.
    assert (project.strategy("small") / "model" / HEAD).exists() == (trained_in == "float32" and settings is FROZEN)


def layers_of(model: keras.Model) -> list[keras.layers.Layer]:
    return list(model._flatten_layers())


def assert_float32_and_alike(model: keras.Model, images: np.ndarray) -> None:
    copy = in_float32(model)
    assert {layer.compute_dtype for layer in layers_of(copy)} == {"float32"}
    for one, other in zip(model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    half, single = keras_engine(model)(images), keras_engine(copy)(images)
    scale = max(1.0, float(np.abs(half).max()))
    np.testing.assert_allclose(single, half, atol=0.03 * scale)  # bfloat16 has 8 bits


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_trains_and_what_is_kept_is_float32(precision: str) -> None:
    params = ScratchParams(
        kind="scratch",
        epochs=4,
        patience=4,
        batch_size=8,
        learning_rate=0.02,
        filters=[4],
        head=HeadParams(hidden=[5], batch_norm=True, dropout=0.0),
    )
    keras.utils.set_random_seed(5)
    train, val = Labelled(*tinted_images(24)), Labelled(*tinted_images(8, seed=1))
    with arithmetic(precision):  # type: ignore[arg-type]
        model = build_network(params, SIZE, 2, seed=5)
        assert precision.removeprefix("mixed_") in {layer.compute_dtype for layer in layers_of(model)}
        result = fit(model, train, val, params, classes=2, seed=5, label="half")
    losses = result.epochs["loss"]
    assert losses.iloc[-1] < 0.7 * losses.iloc[0]
    assert_float32_and_alike(model, val.inputs)


def test_a_model_in_a_model_is_kept_in_float32_whole(tmp_path: Path) -> None:
    with arithmetic("mixed_bfloat16"):
        params = KerasBackboneParams(source="keras", name="MobileNet", weights="none")
        backbone = build_backbone(params, 32, tmp_path)
        model = classifier(backbone.model, build_head(backbone.feature_count, 2, HeadParams(), seed=1))
    assert "bfloat16" in {layer.compute_dtype for layer in layers_of(backbone.network)}
    assert_float32_and_alike(model, tinted_images(3, 32)[0])


def test_layers_in_a_row_are_kept_in_float32_too() -> None:
    # As the stems of ConvNeXt are.
    with arithmetic("mixed_bfloat16"):
        inputs = keras.Input((SIZE, SIZE, 3))
        stem = keras.Sequential([keras.layers.Conv2D(4, 4, strides=4), keras.layers.LayerNormalization()])
        model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(stem(inputs)))
    assert_float32_and_alike(model, tinted_images(3)[0])


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_what_a_model_was_trained_with_is_not_kept(optimizer: str) -> None:
    train = Labelled(np.random.default_rng(0).normal(0, 1, (8, 3)).astype(np.float32), np.arange(8) % 2)
    with arithmetic("mixed_bfloat16"):
        head = build_head(3, 2, HeadParams(hidden=[4]), seed=1)
        params = FitParams(epochs=1, batch_size=8, learning_rate=0.01, optimizer=optimizer)
        factors = {variable.path: 0.5 for variable in head.trainable_variables}
        fit(head, train, train, params, classes=2, seed=1, label="half", rate_factors=factors)
        inputs = keras.Input((3,))
        model = keras.Model(inputs, head(inputs))
    assert head.compiled
    assert_float32_and_alike(head, train.inputs)
    assert_float32_and_alike(model, train.inputs)


def test_a_hub_module_is_float32_always(tmp_path: Path) -> None:
    module = write_hub_module(tmp_path / "module", SIZE)
    with arithmetic("mixed_bfloat16"):
        backbone = build_backbone(HubBackboneParams(source="hub", name=str(module)), SIZE, tmp_path)
        head = build_head(backbone.feature_count, 2, HeadParams(hidden=[4]), seed=1)
        model = classifier(backbone.model, head)
    assert_float32_and_alike(model, tinted_images(3)[0])


def test_a_strategy_in_half_precision_is_validated_as_it_is_served(project: Project) -> None:
    small = {"kind": "scratch", "filters": [4], "epochs": 2, "batch_size": 8, "learning_rate": 0.01}
    params = tiny_params(strategies={"small": small}, precision="mixed_bfloat16").train
    made = train_strategy(project, params, "small", clock())
    trained = made.trained
    assert {layer.compute_dtype for layer in layers_of(trained.model)} == {"float32"}
    images = tinted_images(4, SIZE, classes=3)[0]
    logits = keras_engine(trained.model)(images) / made.calibration.temperature
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    served = ImageClassifier(project.strategy("small") / "model").probabilities({SIZE: images})
    np.testing.assert_allclose(served, exponents / exponents.sum(axis=1, keepdims=True), atol=1e-5)


DETERMINISTIC = """
import numpy as np
import tensorflow as tf
from test_fit import head, run
from graft.networks.engines.devices import arithmetic
with arithmetic("float32", deterministic=True):
    first, second = head(dropout=0.4), head(dropout=0.4)
    run(first), run(second)
for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
    np.testing.assert_array_equal(one, other)
try:
    tf.random.Generator.from_non_deterministic_state()
except RuntimeError:
    print("chance is refused")
"""


@pytest.mark.slow
def test_deterministic_holds_tensorflow_to_one_order() -> None:
    done = in_a_process_of_its_own("-c", DETERMINISTIC)
    assert "chance is refused" in done.stdout
