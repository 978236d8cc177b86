"""A blend: several frozen networks with a head each, whose probabilities are averaged, as one model."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from graft.training.head_on_backbone import HeadOnBackbone, classifier


@dataclass(frozen=True)
class BlendMember:
    """One network of a blend.

    Attributes:
        name: of its folder in the bundle.
        network: images at ``image_size`` to logits.
        image_size: S, in pixels a side.
        weight: of its probabilities; those of all members sum to 1.
        temperature: what its logits are divided by.
    """

    name: str
    network: keras.Model | HeadOnBackbone
    image_size: int
    weight: float
    temperature: float


@dataclass(frozen=True)
class Blend:
    """Networks whose probabilities are averaged.

    Attributes:
        members: two or more.
    """

    members: Sequence[BlendMember]


def mirrored_classifier(network: HeadOnBackbone) -> keras.Model:
    """Return the network as one model that looks at each image and at its mirror image: the mean of both logits.

    A linear head's logits of the mean of two features are that mean, so its features are averaged.
    """
    backbone = network.backbone.built.model
    inputs = keras.Input(backbone.input_shape[1:], dtype="float32", name="image")
    both = [backbone(inputs), backbone(keras.ops.flip(inputs, axis=2))]
    features = keras.layers.Average(name="views")(both)
    return classifier(keras.Model(inputs, features, name="mirrored"), network.head)
