"""Strategy ``fine_tune``: the head first, then the backbone too, in part or whole."""

from functools import partial

import keras
import numpy as np

from graft.core.errors import GraftError
from graft.core.params.strategy_params import AugmentParams, FineTuneParams
from graft.evaluation.calibration import fit_temperature
from graft.networks.backbones import build_backbone
from graft.networks.backbones.backbone import Backbone
from graft.networks.backbones.cutting import CutBackbone, cut
from graft.networks.decode_images import LabelledImages, large_array
from graft.networks.features.extract import extract, predict, predict_each
from graft.networks.features.frozen_backbone import FrozenBackbone
from graft.networks.head import build_head
from graft.training.checkpoint import read_checkpoint
from graft.training.fit import FitResult, Labelled, fit
from graft.training.head_on_backbone import classifier
from graft.training.optimizers import layer_rate_factors
from graft.training.solve_head import solve_head
from graft.training.strategies.frozen import features, fit_head
from graft.training.strategy import Task, Trained, fit_end_to_end
from graft.training.unfreezing import first_trained_layer, unfreeze
from graft.training.views import view, views_identity


def train(params: FineTuneParams, task: Task) -> Trained:
    """Train in two phases: a head on the frozen backbone's features, then both at a low rate.

    A killed training carries on from its last whole epoch of the second phase.
    """
    assert params.backbone is not None  # filled in by TrainParams.strategy
    with task.clock.span("backbone"):
        backbone = build_backbone(params.backbone, task.image_size, task.cache, params.head.pooling)
    # A layer that is not there is refused before any time goes into the head.
    unfreeze(backbone.network, params.unfreeze, params.batch_norm)
    head = build_head(backbone.feature_count, len(task.classes), params.head, task.seed)
    first = first_trained_layer(backbone.network, params.unfreeze) if backbone.has_layers else None
    pieces = None if first is None else cut(backbone, first)
    if params.views and pieces is None:
        raise GraftError(
            f"views is {params.views}, and nothing of {backbone.name} stays frozen whose activations could be kept",
            "Set views: 0, which changes the images anew in every epoch, or unfreeze less",
        )
    result, val_logits = (
        _fit_above(pieces, backbone, head, params, task)
        if pieces and params.views
        else _fit_whole(pieces, backbone, head, params, task)
    )
    return Trained(
        network=classifier(backbone.model, head),
        val_logits=val_logits,
        fit=result,
        weights_source=backbone.weights_source,
        weights_digest=backbone.weights_digest,
    )


def _start_head(head: keras.Model, train: Labelled, val: Labelled, params: FineTuneParams, task: Task) -> None:
    """Solve a linear head on features, or train one with hidden layers in epochs: the first phase.

    A head that has converged sends the least into a backbone that would only undo it: A. Kumar et al., Fine-tuning can
    distort pretrained features and underperform out-of-distribution, ICLR 2022.
    """
    if params.head.hidden:
        fit_head(head, train, val, head_phase(params), task)
        return
    _, cross = solve_head(head, train, val, task, params.class_weight)
    # As sure as it was right out of fold: of images that are easily separated, the solution has a kernel so large that
    # the first step of the backbone, however small, overturns the answers.
    temperature = fit_temperature(cross.labels, cross.logits, cross.groups)
    layer = head.get_layer("logits")
    layer.set_weights([weight / temperature for weight in layer.get_weights()])


def head_phase(params: FineTuneParams) -> FineTuneParams:
    """Return the settings of the first phase: its own epochs and rate, and nothing that is meant for a backbone."""
    return params.model_copy(
        update={
            "epochs": params.head_epochs,
            "learning_rate": params.head_learning_rate,
            "schedule": "constant",
            "warm_up_epochs": 0,
            "ema_momentum": 0.0,
        }
    )


def _view_count(params: FineTuneParams) -> int:
    """Return how many views differ: without augmentation all would be the image as it is."""
    return params.views if params.augment != AugmentParams() else 1


def _fit_whole(
    pieces: CutBackbone | None, backbone: Backbone, head: keras.Model, params: FineTuneParams, task: Task
) -> tuple[FitResult, np.ndarray]:
    """End to end, with changes to the images that are drawn anew in every epoch."""
    if params.head_epochs and read_checkpoint(task.checkpoint) is None:
        frozen = FrozenBackbone.of(backbone, task.store, params.head.pooling)
        _start_head(head, *features(frozen, task), params, task)
    trained = backbone.model
    if pieces:
        # What stays frozen answers as it does in inference: left to Keras, its dropout layers would go on dropping.
        frozen = pieces.below(backbone.model.input, training=False)
        trained = keras.Model(backbone.model.input, pieces.above(frozen), name="backbone")
    return fit_end_to_end(classifier(trained, head), params, task, _rate_factors(backbone, params))


def _fit_above(
    pieces: CutBackbone, backbone: Backbone, head: keras.Model, params: FineTuneParams, task: Task
) -> tuple[FitResult, np.ndarray]:
    """Fit what is above the cut, on cached activations of the images' views."""
    is_changed = params.augment != AugmentParams()
    count = _view_count(params)
    size = len(task.train.labels)

    def extracted(images: LabelledImages, what: str, number: int | None, out: np.ndarray) -> np.ndarray:
        changes = (
            None
            if number is None
            else {"number": number, "seed": task.seed, "code": views_identity(), **params.augment.model_dump()}
        )
        network = {**backbone.identity, "part": pieces.position}
        described = {**network, "view": changes}
        named = f"activations at {pieces.layer}" + ("" if number is None else f", view {number + 1}")
        space = task.store.space(described, named) if task.store else None
        prepare = None if number is None else partial(view, number=number, params=params.augment, seed=task.seed)
        label = f"{task.name}: activations at {pieces.layer}, {what}"
        cached = task.store.network(network) if task.store else None
        kind = np.uint8 if prepare is None else np.float32
        return extract(pieces.below, images, label, space, prepare, out, cached, kind)

    shape = pieces.below.output_shape[1:]

    def plain() -> np.ndarray:
        out = large_array((size, *shape), np.float32)
        return extracted(task.train, "train", None, out)

    with task.clock.span("activations"):
        activations = large_array((count * size, *shape), np.float32)
        for number in range(count):
            part = activations[number * size : (number + 1) * size]
            what = f"view {number + 1} of {count}" if is_changed else "train"
            extracted(task.train, what, number if is_changed else None, part)
        val_activations = large_array((len(task.val.labels), *shape), np.float32)
        val = Labelled(extracted(task.val, "val", None, val_activations), task.val.labels)
    if params.head_epochs and read_checkpoint(task.checkpoint) is None:
        with task.clock.span("features"):
            label = f"{task.name}: features of"
            parts = {f"{label} train images": activations[:size], f"{label} val images": val.inputs}
            first, val_features = predict_each(pieces.above, parts)
        _start_head(head, Labelled(first, task.train.labels), Labelled(val_features, val.labels), params, task)
    model = classifier(pieces.above, head)
    with task.clock.span("fit"):
        result = fit(
            model,
            Labelled(activations, task.train.labels),
            val,
            params,
            classes=len(task.classes),
            seed=task.seed,
            label=task.name,
            checkpoint=task.checkpoint,
            views=count,
            plain=plain if is_changed else None,
            rate_factors=_rate_factors(backbone, params),
        )
        return result, predict(model, val.inputs, f"{task.name}: val images")


def _rate_factors(backbone: Backbone, params: FineTuneParams) -> dict[str, float] | None:
    return layer_rate_factors(backbone.network, params.layer_decay) if params.layer_decay < 1 else None
