"""A head and the backbone that it stands on: apart where only the head was trained, or as one model."""

from dataclasses import dataclass

import keras

from graft.core.params.backbone_params import BackboneParams
from graft.core.params.strategy_params import HeadParams
from graft.networks.features.frozen_backbone import FrozenBackbone


@dataclass(frozen=True)
class HeadOnBackbone:
    """A head that was trained by itself, and the backbone that it stands on, which is as it was published.

    Attributes:
        head: features ``[N, D]`` to logits.
        head_params, backbone_params: what both were built from.
        backbone: what makes the features.
    """

    head: keras.Model
    head_params: HeadParams
    backbone_params: BackboneParams
    backbone: FrozenBackbone


def as_model(network: keras.Model | HeadOnBackbone) -> keras.Model:
    """Return the network as one model, images to logits; a backbone that was not needed so far is built for it."""
    if isinstance(network, HeadOnBackbone):
        return classifier(network.backbone.built.model, network.head)
    return network


def classifier(backbone: keras.Model, head: keras.Model) -> keras.Model:
    """Return backbone and head as one model, images to logits; weights are shared with both."""
    return keras.Model(backbone.input, head(backbone.output), name="classifier")
