"""Backbones of ``keras.applications`` by name, and EfficientNet-Lite beside them, each with its own input scaling."""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from graft.core.errors import GraftError, did_you_mean
from graft.core.params.backbone_params import KerasBackboneParams
from graft.core.params.strategy_params import Pooling
from graft.networks.backbones import efficientnet_lite
from graft.networks.backbones.backbone import Backbone, weights_digest
from graft.networks.backbones.depths import pooled_depths
from graft.networks.backbones.weights import cached_weights, load_weights
from graft.networks.head import pool

# Of the channels of ImageNet's images, RGB in 0..1.
IMAGENET_DEVIATIONS = (0.229, 0.224, 0.225)

USUAL_IMAGE_SIZE = 224
# Models whose ImageNet weights were trained on images of another size, in pixels a side. Keras knows these as
# arguments inside its functions only; the contract test asks it for each.
IMAGE_SIZES = {
    "EfficientNetB1": 240,
    "EfficientNetB2": 260,
    "EfficientNetB3": 300,
    "EfficientNetB4": 380,
    "EfficientNetB5": 456,
    "EfficientNetB6": 528,
    "EfficientNetB7": 600,
    "EfficientNetV2B1": 240,
    "EfficientNetV2B2": 260,
    "EfficientNetV2B3": 300,
    "EfficientNetV2S": 384,
    "EfficientNetV2M": 480,
    "EfficientNetV2L": 480,
    "InceptionResNetV2": 299,
    "InceptionV3": 299,
    "NASNetLarge": 331,
    "Xception": 299,
    **efficientnet_lite.IMAGE_SIZES,
}


def application_names() -> list[str]:
    """Return the names of all models in ``keras.applications``, and of those that are built like them here."""
    return sorted([*(name for name in dir(keras.applications) if name[0].isupper()), *efficientnet_lite.names()])


def image_size_of(name: str) -> int:
    """Return the pixels a side of the images that a model's ImageNet weights were trained on.

    Raises:
        GraftError: no such model.
    """
    find_application(name)
    return IMAGE_SIZES.get(name, USUAL_IMAGE_SIZE)


def default_image_size(params: KerasBackboneParams) -> int:
    """Return :func:`image_size_of` the model."""
    return image_size_of(params.name)


def weights_files(params: KerasBackboneParams, cache: Path) -> list[Path]:
    """Return the model's files in the cache, or the file of the user's own."""
    return cached_weights(params.name, cache) if params.weights == "imagenet" else params.own_files()


def build(params: KerasBackboneParams, image_size: int, cache: Path, pooling: Pooling = "average") -> Backbone:
    """Build the backbone with its weights loaded; ``cache`` is the folder for downloaded weights.

    Raises:
        GraftError: no such model, images too small for it, or its weights cannot be had.
    """
    application = find_application(params.name)
    arguments: dict[str, Any] = {"include_top": False, "input_shape": (image_size, image_size, 3), "weights": None}
    try:
        network = application(**arguments)
    except ValueError as error:
        raise GraftError(
            f"{params.name} cannot take images of {image_size}x{image_size} pixels: {error}",
            "Raise image_size under train, or under the strategy, in params.yaml",
        ) from None
    if params.weights != "none" and params.name.startswith("EfficientNetB"):
        network = as_pretrained(network)
    source = load_weights(network, params, cache)

    inputs = keras.Input((image_size, image_size, 3), dtype="float32", name="image")
    scaled = input_scaling(application)(inputs)
    features = pooled_depths(network)(scaled) if pooling == "depths" else pool(network(scaled), pooling)
    model = keras.Model(inputs, features, name="backbone")
    return Backbone(
        name=params.name,
        model=model,
        scaled=scaled,
        network=network,
        image_size=image_size,
        weights_source=source,
        weights_digest=weights_digest(network.weights),
    )


def find_application(name: str) -> Callable[..., Any]:
    """Return the function that builds a model. Raises GraftError where there is no such model."""
    if name not in application_names():
        raise GraftError(f"keras.applications has no model '{name}'", did_you_mean(name, application_names()))
    if name in efficientnet_lite.names():
        return efficientnet_lite.application(name)
    application = getattr(keras.applications, name)
    assert "include_top" in inspect.signature(application).parameters
    return application


def input_scaling(application: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return the model's own ``preprocess_input`` as a layer, RGB in 0..255 in.

    Each of Keras' preprocessing functions is an affine map of the channels, some after a flip to BGR. It is
    read off the function itself, by its values at black and at the three primary colours, so that no table
    here can fall out of step with Keras; the contract test compares both on random images.
    """
    preprocess = importlib.import_module(application.__module__).preprocess_input
    black = np.zeros((1, 1, 1, 3), "float32")
    offset = np.asarray(preprocess(black.copy()), dtype=np.float64).reshape(3)
    primaries = [np.asarray(preprocess(black + 255 * np.eye(3, dtype="float32")[c])).reshape(3) for c in range(3)]
    matrix = (np.stack(primaries).astype(np.float64) - offset) / 255  # row: channel in, column: channel out

    flipped = bool(abs(matrix[0, 2]) > abs(matrix[0, 0]))
    scale = np.diag(matrix[::-1] if flipped else matrix)
    if np.allclose(scale, 1, atol=1e-6) and np.allclose(offset, 0) and not flipped:
        return lambda images: images  # the model scales its inputs itself
    # float32 also under mixed precision: half precision has steps of a grey level at 255.
    rescaling = keras.layers.Rescaling(scale.tolist(), offset.tolist(), dtype="float32", name="input_scaling")
    return (lambda images: rescaling(keras.ops.flip(images, axis=-1))) if flipped else rescaling


def as_pretrained(efficient_net: keras.Model) -> keras.Model:
    """Return EfficientNet with the input scaling that its ImageNet weights were trained with.

    Keras divides by the square root of ImageNet's deviations once more, and puts the layer for it into the model
    only where it loads the weights itself.
    """

    def call(layer: keras.layers.Layer, *arguments: Any, **options: Any) -> Any:
        outputs = layer(*arguments, **options)
        if isinstance(layer, keras.layers.Normalization):
            scale = [1 / np.sqrt(deviation) for deviation in IMAGENET_DEVIATIONS]
            outputs = keras.layers.Rescaling(scale, name="deviation_scaling")(outputs)
        return outputs

    return keras.models.clone_model(efficient_net, clone_function=lambda layer: layer, call_function=call)
