"""One contract for every backbone: each source with each kind of strategy that applies to it.

Another backbone is another entry in SOURCES, another way to train one another entry in STRATEGIES.
"""

import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from backbone_sources import SEED, SOURCES, Source
from tiny import clock, tinted_images

from graft.bundle.model import ImageClassifier
from graft.core.params.backbone_params import BackboneParams
from graft.core.params.strategy_params import FineTuneParams, FrozenParams, HeadParams
from graft.networks.backbones import build_backbone
from graft.networks.backbones.backbone import Backbone
from graft.networks.decode_images import DecodedImages
from graft.networks.temperature import softmax
from graft.training.strategies import fine_tune, frozen
from graft.training.strategy import Task, Trained
from graft.training.write_bundle import write_bundle

CLASSES = ["red", "green"]  # not in the order of the alphabet
MIDDLE = "the middle layer of the source"

# What of the settings each strategy changes; one that names nothing to unfreeze trains the head alone.
STRATEGIES: dict[str, dict[str, Any]] = {
    "frozen": {"solver": "exact"},
    "frozen, in epochs": {},
    "frozen, hidden head": {"head": HeadParams(hidden=[8], batch_norm=True, dropout=0.0)},
    "fine_tune by name": {"unfreeze": MIDDLE},
    "fine_tune by count, on views": {"unfreeze": 8, "views": 1},
    "fine_tune by fraction": {"unfreeze": 0.25},
    "fine_tune all": {"unfreeze": "all"},
    "fine_tune all, rate by layer": {"unfreeze": "all", "layer_decay": 0.9},
    "fine_tune all, batch norm updated": {"unfreeze": "all", "batch_norm": "update"},
}
FROZEN = {name for name in STRATEGIES if name.startswith("frozen")}
# What is refused otherwise: see test_hub, test_onnx_file and tests/training/test_refusals.
OF_KIND = {
    "keras": set(STRATEGIES),
    "hub": {*FROZEN, "fine_tune all", "fine_tune all, batch norm updated"},
    "onnx": FROZEN,
    # The network is Keras', as those of the first kind: what is left out here is shown there.
    "keras_hub": {"frozen", "fine_tune by name", "fine_tune all, rate by layer", "fine_tune all, batch norm updated"},
}
WEIGHTS_SOURCES = {
    "keras": "file given in params",
    "hub": "Hub module",
    "onnx": "ONNX file given in params",
    "keras_hub": "Keras Hub preset",
}


def cases() -> Iterator[object]:
    for source in SOURCES:
        for strategy in STRATEGIES:
            if strategy not in OF_KIND[source.kind]:
                continue
            if source.slow and strategy != ("fine_tune all" if source.kind == "hub" else "fine_tune by name"):
                continue
            is_slow = source.slow or not (source.kind == "hub" or strategy in FROZEN)
            marks = [pytest.mark.slow] if is_slow else []
            yield pytest.param((source, strategy), id=f"{source.name}, {strategy}", marks=marks)


@dataclass(frozen=True)
class Outcome:
    """A backbone before and after one strategy trained on it."""

    source: Source
    strategy: str
    params: BackboneParams
    before: Backbone
    trained: Trained
    val: DecodedImages
    folder: Path

    @property
    def first_trained(self) -> int:
        """Index in the backbone of the first layer that was to be trained."""
        names = [layer.name for layer in self.before.network.layers]
        start = STRATEGIES[self.strategy].get("unfreeze")
        if start is None or start == "all":
            return len(names) if start is None else 0
        if start == MIDDLE:
            return names.index(self.source.middle)
        return len(names) - (start if isinstance(start, int) else round(start * len(names)))

    @property
    def is_unfrozen(self) -> bool:
        return "unfreeze" in STRATEGIES[self.strategy]

    @property
    def updates_batch_norm(self) -> bool:
        return STRATEGIES[self.strategy].get("batch_norm") == "update"

    @property
    def network(self) -> keras.layers.Layer:
        return self.trained.model.get_layer(self.before.network.name)

    @cached_property
    def bundle(self) -> ImageClassifier:
        write_bundle(self.trained.network, CLASSES, self.source.size, self.folder / "bundle")
        return ImageClassifier(self.folder / "bundle")


def steps(before: keras.layers.Layer, after: keras.layers.Layer) -> list[float]:
    """Of each weight of a layer, how far training moved what it moved furthest."""
    pairs = zip(before.get_weights(), after.get_weights(), strict=True)
    return [float(np.abs(one - other).max()) for one, other in pairs]


@pytest.fixture(scope="module", params=cases())
def outcome(
    request: pytest.FixtureRequest,
    backbone_params: Callable[[Source], BackboneParams],
    tmp_path_factory: pytest.TempPathFactory,
) -> Outcome:
    source, strategy = request.param
    params = backbone_params(source)
    folder = tmp_path_factory.mktemp("outcome")
    train = DecodedImages(*tinted_images(16, source.size, seed=1))
    val = DecodedImages(*tinted_images(6, source.size, seed=2))
    task = Task("case", CLASSES, train, val, source.size, SEED, folder, folder / "checkpoint", clock())
    settings = {"batch_size": 8, "backbone": params, "head": HeadParams(dropout=0.0), "patience": 50}
    settings |= STRATEGIES[strategy]
    keras.utils.set_random_seed(SEED)
    if "solver" in settings:
        trained = frozen.train(FrozenParams(kind="frozen", solver="exact", backbone=params), task)
    elif "unfreeze" not in settings:
        head_only = FrozenParams(kind="frozen", epochs=8, learning_rate=0.01, **settings)
        trained = frozen.train(head_only, task)
    else:
        if settings["unfreeze"] == MIDDLE:
            settings["unfreeze"] = source.middle
        # The head is solved already: steps that are large for a backbone's activations would only undo it.
        rate = {"tiny hub module": 1e-2, "VGG16": 1e-5}.get(source.name, 1e-4)
        both = FineTuneParams(kind="fine_tune", epochs=3, learning_rate=rate, head_epochs=1, **settings)
        trained = fine_tune.train(both, task)
    return Outcome(source, strategy, params, build_backbone(params, source.size, folder), trained, val, folder)


def test_every_kind_of_backbone_is_under_contract() -> None:
    members = typing.get_args(typing.get_args(BackboneParams)[0])
    kinds = {typing.get_args(member.model_fields["source"].annotation)[0] for member in members}
    assert {source.kind for source in SOURCES} == kinds


def test_loss_falls(outcome: Outcome) -> None:
    losses = outcome.trained.fit.epochs["loss"]
    assert losses.iloc[-1] < losses.iloc[0]


def test_training_moves_what_was_unfrozen_and_nothing_else(outcome: Outcome) -> None:
    if outcome.source.kind == "hub":
        assert_variables_moved(outcome)
    elif outcome.source.kind == "onnx":
        assert steps(outcome.before.network, outcome.network)
        assert not any(steps(outcome.before.network, outcome.network))
    else:
        assert_layers_moved(outcome)
    if decay := STRATEGIES[outcome.strategy].get("layer_decay"):
        assert_lower_layers_move_less(outcome, decay)


def assert_layers_moved(outcome: Outcome) -> None:
    """All weights from the first trained layer up, those of batch norm only where it is updated."""
    layers = outcome.network.layers
    for index, (before, after) in enumerate(zip(outcome.before.network.layers, layers, strict=True)):
        is_batch_norm = isinstance(after, keras.layers.BatchNormalization)
        expected = index >= outcome.first_trained and not (is_batch_norm and not outcome.updates_batch_norm)
        if isinstance(after, keras.layers.Normalization):
            expected = False  # ImageNet's mean and deviation, which are not trained
        moves = steps(before, after)
        assert all(moves) if expected else not any(moves), after.name
        assert after.trainable or not expected


def assert_variables_moved(outcome: Outcome) -> None:
    """The module's own variables, those of batch norm only where it is updated."""
    before, after = outcome.before.network.module, outcome.network.module
    kinds = {"kernel": [], "scale": [], "statistic": []}  # type: ignore[var-annotated]
    for one, other in zip(before.variables, after.variables, strict=True):
        last = one.name.rpartition("/")[2]
        kind = "kernel" if "kernel" in last else "statistic" if "moving" in last else "scale"
        kinds[kind].append(not np.array_equal(one.numpy(), other.numpy()))
    for kind, changes in kinds.items():
        expected = outcome.is_unfrozen and (kind == "kernel" or outcome.updates_batch_norm)
        assert changes
        assert all(changes) if expected else not any(changes), kind


def assert_lower_layers_move_less(outcome: Outcome, decay: float) -> None:
    """Adam's steps are about as large as the rate, whatever the gradient."""
    pairs = zip(outcome.before.network.layers, outcome.network.layers, strict=True)
    moves = [max(steps(before, after)) for before, after in pairs if after.trainable_weights]
    factor = decay ** (len(moves) - 1)
    assert 0.3 * factor < moves[0] / moves[-1] < 3 * factor


def test_the_outcome_says_which_weights_it_started_from(outcome: Outcome) -> None:
    assert outcome.trained.weights_digest == outcome.before.weights_digest
    assert outcome.trained.weights_source == WEIGHTS_SOURCES[outcome.source.kind]


def test_validation_logits_are_those_of_the_model_that_is_kept(outcome: Outcome) -> None:
    logits = outcome.trained.model.predict(outcome.val.inputs, verbose=0)
    np.testing.assert_allclose(outcome.trained.val_logits, logits, rtol=1e-4, atol=1e-4)


def test_the_bundle_answers_as_the_model_does(outcome: Outcome) -> None:
    if outcome.is_unfrozen and outcome.source.kind == "keras" and outcome.strategy != "fine_tune by name":
        pytest.skip("the graph of this bundle is that of its neighbours in this list")
    expected = softmax(outcome.trained.val_logits)
    assert outcome.bundle.classes == CLASSES
    (size,) = outcome.bundle.image_sizes
    np.testing.assert_allclose(outcome.bundle.probabilities({size: outcome.val.inputs}), expected, atol=1e-5)
    answers = outcome.bundle.predict(list(outcome.val.inputs))
    assert answers["label"].tolist() == [CLASSES[index] for index in expected.argmax(axis=1)]
