"""One contract for every backbone: each source with each kind of strategy that applies to it.

Another backbone is another entry in SOURCES. Keras' models start from random weights whose batch-norm statistics
are those of a few images, so that features are of a sane size.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
import pytest
from tiny import clock, tinted_images, write_hub_module

from graft.backbones import build_backbone
from graft.backbones.backbone import Backbone, weights_digest
from graft.backbones.keras_applications import application_names, input_scaling
from graft.backbones.weights import KNOWN_DIGESTS
from graft.errors import GraftError
from graft.evaluation.metrics import softmax
from graft.inference.model import ImageClassifier
from graft.params.strategies import (
    FineTuneParams,
    FrozenParams,
    HeadParams,
    HubBackboneParams,
    KerasBackboneParams,
)
from graft.training.bundle import write_bundle
from graft.training.images import DecodedImages
from graft.training.strategies import fine_tune, frozen
from graft.training.strategy import Task, Trained
from graft.training.unfreezing import unfreeze

CLASSES = ["red", "green"]  # not in the order of the alphabet
SEED = 11
TINY_HUB_SIZE = 16


@dataclass(frozen=True)
class Source:
    """One backbone under contract.

    Attributes:
        name: a model of ``keras.applications``, or where a Hub module comes from.
        size: of the images, the smallest it takes where that is quick.
        middle: the layer to unfreeze from in part; None where there are no layers.
        slow: whether it takes more than a few seconds; then one strategy stands for all.
    """

    name: str
    size: int
    middle: str | None = None
    slow: bool = False

    @property
    def is_hub(self) -> bool:
        return self.middle is None


SOURCES = (
    Source("tiny hub module", TINY_HUB_SIZE),
    Source("../shared/hub", 224, slow=True),
    Source("MobileNet", 32, "conv_dw_12"),
    Source("MobileNetV2", 32, "block_15_expand", slow=True),
    Source("VGG16", 32, "block5_conv1", slow=True),  # BGR, and no batch norm
)
# Strategy: unfreeze ("middle" for that of the source; None trains the head alone) and batch_norm.
STRATEGIES = {
    "frozen": (None, "inference"),
    "fine_tune part": ("middle", "inference"),
    "fine_tune all": ("all", "inference"),
    "fine_tune all, batch norm updated": ("all", "update"),
}


def cases() -> Iterator[object]:
    for source in SOURCES:
        for strategy in STRATEGIES:
            if source.is_hub and strategy == "fine_tune part":
                continue  # refused; a test of its own below
            if source.slow and strategy != ("fine_tune all" if source.is_hub else "fine_tune part"):
                continue
            is_slow = source.slow or not (source.is_hub or strategy == "frozen")
            marks = [pytest.mark.slow] if is_slow else []
            yield pytest.param((source, strategy), id=f"{source.name}, {strategy}", marks=marks)


@dataclass(frozen=True)
class Outcome:
    """A backbone before and after one strategy trained on it."""

    source: Source
    strategy: str
    params: KerasBackboneParams | HubBackboneParams
    before: Backbone
    trained: Trained
    val: DecodedImages
    folder: Path

    @property
    def unfreeze(self) -> str | None:
        start = STRATEGIES[self.strategy][0]
        return self.source.middle if start == "middle" else start

    @property
    def updates_batch_norm(self) -> bool:
        return STRATEGIES[self.strategy][1] == "update"

    @property
    def trunk(self) -> keras.layers.Layer:
        return self.trained.model.get_layer(self.before.trunk.name)

    @cached_property
    def bundle(self) -> ImageClassifier:
        write_bundle(self.trained.model, CLASSES, self.source.size, self.folder / "bundle")
        return ImageClassifier(self.folder / "bundle")


def moved(before: keras.layers.Layer, after: keras.layers.Layer) -> list[bool]:
    """Of each weight of a layer, whether training changed it."""
    pairs = zip(before.get_weights(), after.get_weights(), strict=True)
    return [not np.array_equal(one, other) for one, other in pairs]


@pytest.fixture(scope="session")
def backbone_params(
    tmp_path_factory: pytest.TempPathFactory, shared: Callable[[str], Path]
) -> Callable[[Source], KerasBackboneParams | HubBackboneParams]:
    """The params of a source, whose weights are written to a file at first use."""
    folder = tmp_path_factory.mktemp("weights")

    def prepare(source: Source) -> KerasBackboneParams | HubBackboneParams:
        if source.name == "../shared/hub":
            return HubBackboneParams(source="hub", name=str(shared("hub/mobilenet_v2_feature_vector")))
        if source.is_hub:
            path = folder / "hub"
            return HubBackboneParams(
                source="hub", name=str(path if path.exists() else write_hub_module(path))
            )
        path = folder / f"{source.name}.weights.h5"
        if not path.exists():
            keras.utils.set_random_seed(SEED)
            none = KerasBackboneParams(source="keras", name=source.name, weights="none")
            backbone = build_backbone(none, source.size, folder)
            for layer in backbone.trunk.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.momentum = 0.0
            images, _ = tinted_images(16, source.size)
            backbone.model(images.astype(np.float32), training=True)
            backbone.trunk.save_weights(path)
        return KerasBackboneParams(source="keras", name=source.name, weights=str(path))

    return prepare


@pytest.fixture(scope="module", params=cases())
def outcome(
    request: pytest.FixtureRequest,
    backbone_params: Callable[[Source], KerasBackboneParams | HubBackboneParams],
    tmp_path_factory: pytest.TempPathFactory,
) -> Outcome:
    source, strategy = request.param
    params = backbone_params(source)
    folder = tmp_path_factory.mktemp("outcome")
    train = DecodedImages(*tinted_images(16, source.size, seed=1))
    val = DecodedImages(*tinted_images(6, source.size, seed=2))
    task = Task("case", CLASSES, train, val, source.size, SEED, folder, folder / "checkpoint", clock())
    common = {"batch_size": 8, "backbone": params, "head": HeadParams(dropout=0.0), "patience": 50}
    keras.utils.set_random_seed(SEED)
    unfreeze, batch_norm = STRATEGIES[strategy]
    if unfreeze is None:
        head_only = FrozenParams(kind="frozen", epochs=8, learning_rate=0.01, **common)
        trained = frozen.train(head_only, task)
    else:
        both = FineTuneParams(
            kind="fine_tune",
            unfreeze=source.middle or "all" if unfreeze == "middle" else unfreeze,
            batch_norm=batch_norm,
            epochs=3,
            learning_rate=1e-2 if source.name == "tiny hub module" else 1e-4,
            head_epochs=1,
            **common,
        )
        trained = fine_tune.train(both, task)
    return Outcome(
        source, strategy, params, build_backbone(params, source.size, folder), trained, val, folder
    )


def test_loss_falls(outcome: Outcome) -> None:
    losses = outcome.trained.fit.epochs["loss"]
    assert losses.iloc[-1] < losses.iloc[0]


def test_training_moves_what_was_unfrozen_and_nothing_else(outcome: Outcome) -> None:
    if outcome.source.is_hub:
        assert_variables_moved(outcome)
    else:
        assert_layers_moved(outcome)


def assert_layers_moved(outcome: Outcome) -> None:
    """All weights from the named layer up, those of batch norm only where it is updated."""
    layers = outcome.trunk.layers
    names = [layer.name for layer in layers]
    start = {None: len(names), "all": 0}.get(outcome.unfreeze)
    first = names.index(outcome.unfreeze) if start is None else start
    for index, (before, after) in enumerate(zip(outcome.before.trunk.layers, layers, strict=True)):
        is_batch_norm = isinstance(after, keras.layers.BatchNormalization)
        expected = index >= first and not (is_batch_norm and not outcome.updates_batch_norm)
        if isinstance(after, keras.layers.Normalization):
            expected = False  # ImageNet's mean and deviation, which are not trained
        changes = moved(before, after)
        assert all(changes) if expected else not any(changes), after.name
        assert after.trainable or not expected


def assert_variables_moved(outcome: Outcome) -> None:
    """The module's own variables, those of batch norm only where it is updated."""
    before, after = outcome.before.trunk.module, outcome.trunk.module
    kinds = {"kernel": [], "scale": [], "statistic": []}  # type: ignore[var-annotated]
    for one, other in zip(before.variables, after.variables, strict=True):
        last = one.name.rpartition("/")[2]
        kind = "kernel" if "kernel" in last else "statistic" if "moving" in last else "scale"
        kinds[kind].append(not np.array_equal(one.numpy(), other.numpy()))
    is_unfrozen = outcome.unfreeze is not None
    for kind, changes in kinds.items():
        expected = is_unfrozen and (kind == "kernel" or outcome.updates_batch_norm)
        assert changes
        assert all(changes) if expected else not any(changes), kind


def test_the_outcome_says_which_weights_it_started_from(outcome: Outcome) -> None:
    assert outcome.trained.weights_digest == outcome.before.weights_digest
    road = "Hub module" if outcome.source.is_hub else "file given in params"
    assert outcome.trained.weights_source == road


def test_validation_logits_are_those_of_the_model_that_is_kept(outcome: Outcome) -> None:
    logits = outcome.trained.model.predict(outcome.val.inputs, verbose=0)
    np.testing.assert_allclose(outcome.trained.val_logits, logits, rtol=1e-4, atol=1e-4)


def test_the_bundle_answers_as_the_model_does(outcome: Outcome) -> None:
    if outcome.strategy == "fine_tune all" and not outcome.source.is_hub:
        pytest.skip("the graph of this bundle is that of its neighbours in this list")
    expected = softmax(outcome.trained.val_logits)
    assert outcome.bundle.classes == CLASSES
    (size,) = outcome.bundle.image_sizes
    np.testing.assert_allclose(outcome.bundle.probabilities({size: outcome.val.inputs}), expected, atol=1e-5)


# --- what holds without training ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", application_names())
def test_inputs_are_scaled_as_keras_does_it(name: str) -> None:
    application = getattr(keras.applications, name)
    images = np.random.default_rng(3).uniform(0, 255, (2, 5, 4, 3)).astype(np.float32)
    preprocess = importlib.import_module(application.__module__).preprocess_input
    expected = np.asarray(preprocess(images.copy()))
    np.testing.assert_allclose(np.asarray(input_scaling(application)(images)), expected, atol=1e-4)


def test_every_application_of_keras_is_known() -> None:
    assert len(application_names()) >= 40
    assert {"MobileNetV2", "VGG16", "EfficientNetB0", "ConvNeXtTiny"} <= set(application_names())


@pytest.mark.parametrize("source", [source for source in SOURCES if not source.slow], ids=lambda s: s.name)
def test_a_backbone_takes_photographs_as_they_are(
    source: Source,
    backbone_params: Callable[[Source], KerasBackboneParams | HubBackboneParams],
    tmp_path: Path,
) -> None:
    backbone = build_backbone(backbone_params(source), source.size, tmp_path)
    images = tinted_images(3, source.size)[0].astype(np.float32)
    features = backbone.model(images).numpy()
    assert features.shape == (3, backbone.feature_count)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert features.std() > 1e-3
    # One image's features do not depend on its neighbours.
    np.testing.assert_allclose(backbone.model(images[1:2]).numpy()[0], features[1], rtol=1e-3, atol=1e-4)


def test_features_are_those_of_keras_own_road(tmp_path: Path) -> None:
    params = KerasBackboneParams(source="keras", name="VGG16", weights="none")
    backbone = build_backbone(params, 32, tmp_path)
    images = tinted_images(2, 32)[0].astype(np.float32)
    maps = backbone.trunk(keras.applications.vgg16.preprocess_input(images.copy()))
    np.testing.assert_allclose(
        backbone.model(images), np.asarray(maps).mean(axis=(1, 2)), rtol=1e-4, atol=1e-6
    )


def test_an_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    params = KerasBackboneParams(source="keras", name="MobilNetV2", weights="none")
    with pytest.raises(GraftError, match="no model 'MobilNetV2'. Did you mean 'MobileNetV2'?"):
        build_backbone(params, 32, tmp_path)


def test_images_too_small_for_a_backbone_are_refused(tmp_path: Path) -> None:
    params = KerasBackboneParams(source="keras", name="InceptionV3", weights="none")
    with pytest.raises(GraftError, match=r"InceptionV3 cannot take images of 32x32 pixels: .*75.*image_size"):
        build_backbone(params, 32, tmp_path)


def test_a_layer_that_is_not_there_suggests_the_nearest(tmp_path: Path) -> None:
    params = KerasBackboneParams(source="keras", name="MobileNet", weights="none")
    backbone = build_backbone(params, 32, tmp_path)
    with pytest.raises(
        GraftError, match=r"no layer 'conv_dw_31' to unfreeze from. Did you mean 'conv_dw_1?3'?"
    ):
        unfreeze(backbone.trunk, "conv_dw_31", "inference")


# --- Hub modules ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hub_module(tmp_path_factory.mktemp("hub") / "module", TINY_HUB_SIZE)


def hub(path: object) -> HubBackboneParams:
    return HubBackboneParams(source="hub", name=str(path))


def test_a_hub_module_cannot_be_unfrozen_in_part(tiny_hub: Path, tmp_path: Path) -> None:
    backbone = build_backbone(hub(tiny_hub), TINY_HUB_SIZE, tmp_path)
    with pytest.raises(GraftError, match=r"unfreeze is 'conv'.*no layers to start from.*unfreeze: all"):
        unfreeze(backbone.trunk, "conv", "inference")


def test_a_hub_module_is_frozen_until_it_is_unfrozen(tiny_hub: Path, tmp_path: Path) -> None:
    trunk = build_backbone(hub(tiny_hub), TINY_HUB_SIZE, tmp_path).trunk
    assert trunk.trainable_weights == []
    unfreeze(trunk, "all", "inference")
    assert len(trunk.trainable_weights) == 1  # the kernel
    unfreeze(trunk, "all", "update")
    assert len(trunk.trainable_weights) == 3  # and the scales
    assert len(trunk.weights) == 5


def test_images_of_another_size_than_the_modules_are_refused(tiny_hub: Path, tmp_path: Path) -> None:
    with pytest.raises(GraftError, match="does not take images of 20x20 pixels"):
        build_backbone(hub(tiny_hub), 20, tmp_path)


def test_a_folder_without_a_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match="no Hub module in the folder .*no saved_model.pb"):
        build_backbone(hub(tmp_path), 32, tmp_path)


def test_a_damaged_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"nothing of the kind")
    with pytest.raises(GraftError, match="cannot be loaded"):
        build_backbone(hub(tmp_path), 32, tmp_path)


def test_a_saved_model_that_is_no_feature_vector_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    scale = tf.Variable(2.0)
    module = tf.train.Checkpoint()
    module.scale = scale
    module.__call__ = tf.function(lambda images, training=False: scale * images)
    for training in (False, True):
        module.__call__.get_concrete_function(tf.TensorSpec((None, 8, 8, 3)), training=training)
    tf.saved_model.save(module, str(tmp_path / "bare"))
    with pytest.raises(GraftError, match="has no 'variables'"):
        build_backbone(hub(tmp_path / "bare"), 8, tmp_path)
    module.variables, module.trainable_variables = [scale], [scale]
    tf.saved_model.save(module, str(tmp_path / "maps"))
    with pytest.raises(GraftError, match=r"answers with shape \(1, 8, 8, 3\) instead of \[N, D\]"):
        build_backbone(hub(tmp_path / "maps"), 8, tmp_path)


def test_the_shared_module_holds_the_weights_of_mobile_net_v2(
    shared: Callable[[str], Path], tmp_path: Path
) -> None:
    backbone = build_backbone(hub(shared("hub/mobilenet_v2_feature_vector")), 224, tmp_path)
    assert backbone.weights_digest == KNOWN_DIGESTS["MobileNetV2"]
    assert weights_digest(backbone.trunk.adopted) == KNOWN_DIGESTS["MobileNetV2"]
    assert backbone.feature_count == 1280
