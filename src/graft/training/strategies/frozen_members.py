"""Strategy ``frozen`` with several members: an exact head on the features of each, blended.

Heads are fitted to all images of train and val, and judged on each image by a head that was fitted without its group
(cross-validation): no image has to be spared for validation, and the figures flatter nobody.
"""

from dataclasses import dataclass
from functools import partial

import keras
import numpy as np

from graft.core.errors import GraftError
from graft.core.params.strategy_params import FrozenParams, HeadParams, MemberParams
from graft.networks.class_weights import balanced_class_weights
from graft.networks.decode_images import LabelledImages, Photographs, rows_of
from graft.networks.exact_head import ExactHead, fit_exact_head
from graft.networks.features.frozen_backbone import FrozenBackbone, frozen_backbone
from graft.networks.features.mirror_images import view_features
from graft.networks.head import build_head
from graft.networks.temperature import fit_temperature, softmax
from graft.training.blend import Blend, BlendMember, mirrored_classifier
from graft.training.ensembles.member_weights import LEAST_PROBABILITY, mix
from graft.training.head_on_backbone import HeadOnBackbone
from graft.training.solve_head import penalties_as_fit
from graft.training.strategy import OutOfFoldLogits, Task, Trained


@dataclass(frozen=True)
class _Fitted:
    """A member with its head.

    Attributes:
        member: as params have it.
        backbone: it computes the features.
        head: fitted to all images of train and val.
        features: of these, train first, float32 ``[N, D]``.
        labels: class indices, ``[N]``.
        groups: of each, what belongs together, ``[N]``.
        temperature: that suits the head's logits out of fold best.
    """

    member: MemberParams
    backbone: FrozenBackbone
    head: ExactHead
    features: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    temperature: float

    @property
    def probabilities(self) -> np.ndarray:
        """Probabilities out of fold, float64 ``[N, C]``."""
        return softmax(self.head.out_of_fold / self.temperature)


def train(params: FrozenParams, task: Task) -> Trained:
    """Fit the head of each member and blend them; the validation figures are out of fold."""
    fitted = [_fit(member, params, task) for member in params.members]
    total = sum(one.member.weight for one in fitted)
    weights = [one.member.weight / total for one in fitted]
    validation = slice(0 if task.folds else len(task.train.labels), None)
    heaviest = fitted[int(np.argmax(weights))]
    if len(fitted) == 1:
        network: keras.Model | HeadOnBackbone | Blend = _network(heaviest, task)
        logits = heaviest.head.out_of_fold[validation]
        cross = OutOfFoldLogits(heaviest.head.out_of_fold, heaviest.labels, heaviest.groups)
    else:
        members = [
            BlendMember(f"m{number}", _network(one, task), one.member.image_size, weight, one.temperature)
            for number, (one, weight) in enumerate(zip(fitted, weights, strict=True), 1)
        ]
        blended = mix(np.array(weights), np.stack([one.probabilities[validation] for one in fitted]))
        cross = None
        network, logits = Blend(members), np.log(np.maximum(blended, LEAST_PROBABILITY))
    return Trained(
        network=network,
        val_logits=logits,
        fit=penalties_as_fit(heaviest.head, [0.0] * len(heaviest.head.path)),  # all penalties are one solution
        out_of_fold=cross,
        weights_source="; ".join(dict.fromkeys(one.backbone.weights_source for one in fitted)),
        weights_digest="; ".join(dict.fromkeys(one.backbone.identity["weights"] for one in fitted)),
        features=None
        if any(one.member.backbone.no_layers for one in fitted)
        else [partial(rows_of, one.features) for one in fitted],
    )


def _fit(member: MemberParams, params: FrozenParams, task: Task) -> _Fitted:
    with task.clock.span("backbone"):
        backbone = frozen_backbone(member.backbone, member.image_size, task.cache, task.store, member.pooling)
    with task.clock.span("features"):
        rows = [
            view_features(backbone, _at_size(images, member.image_size, task), label, member.mirrored)
            for images, label in ((task.train, f"{task.name}: train"), (task.val, f"{task.name}: val"))
        ]
        features = np.concatenate(rows)
    labels = np.concatenate([task.train.labels, task.val.labels])
    weights = None
    if params.class_weight == "balanced":
        weights = balanced_class_weights(labels, len(task.classes))[labels]
    assert task.groups is not None  # given to this kind of strategy
    assert task.val_groups is not None
    groups = np.concatenate([task.groups, task.val_groups])
    if len(np.unique(groups)) < 2:
        raise GraftError(
            f"All {len(labels)} images of train and val belong to one group: none can be held out",
            "Bring images of another group, or set split.group_by: none",
        )
    with task.clock.span("head"):
        head = fit_exact_head(
            features, labels, len(task.classes), groups=groups, weights=weights, folds=params.folds, seed=task.seed
        )
    return _Fitted(member, backbone, head, features, labels, groups, fit_temperature(labels, head.out_of_fold, groups))


def _at_size(images: LabelledImages, size: int, task: Task) -> LabelledImages:
    if size == task.image_size:
        return images
    assert isinstance(images, Photographs)  # what is decoded already has one size
    return images.at_size(size)


def _network(one: _Fitted, task: Task) -> keras.Model | HeadOnBackbone:
    """Return the member as it goes into the bundle."""
    params = HeadParams(dropout=0.0, pooling=one.member.pooling)
    head = build_head(one.backbone.feature_count, len(task.classes), params, task.seed)
    head.get_layer("logits").set_weights([one.head.kernel, one.head.bias])
    network = HeadOnBackbone(head, params, one.member.backbone, one.backbone)
    return mirrored_classifier(network) if one.member.mirrored else network
