"""Backbones from Keras Hub: a preset by name, by handle or as a folder, with the scaling of its own image converter.

A preset's network is used as a Keras model of its layers, so that training reaches them. What is trained on it is
saved as a graph and its weights, as of every backbone: a bundle and its exports need no Keras Hub.
"""

import hashlib
import inspect
import json
import math
import sys
from importlib import metadata, util
from pathlib import Path
from typing import Any

import keras
import numpy as np

from graft.bundle.trial import trial_images
from graft.core.errors import GraftError, did_you_mean, first_line
from graft.core.outside import own_path
from graft.core.params.backbone_params import KerasHubBackboneParams
from graft.core.params.strategy_params import Pooling
from graft.networks.backbones.backbone import Backbone, weights_digest
from graft.networks.backbones.depths import pooled_depths
from graft.networks.backbones.weights import NETWORK_TIMEOUT_SECONDS, socket_timeout
from graft.networks.head import pool

# How a network's arguments name the shape of its images.
_SHAPES = ("image_shape", "input_shape")
# Between pixels as the converter scales them and as graft does, of the largest: a preset that was saved in half
# precision scales in it too.
TOLERANCE = 1e-2


def build(params: KerasHubBackboneParams, image_size: int, cache: Path, pooling: Pooling = "average") -> Backbone:
    """Return the backbone of a preset; tokens become the class token where there is one, else the mean of all.

    Raises:
        GraftError: Keras Hub is not installed, has no such preset, its preset cannot be had, is no network of one
            image, takes images of another size, or scales its pixels otherwise than by a factor and an offset.
    """
    preset = _Preset(params.name)
    network = preset.network(image_size)
    if pooling not in ("average", "depths") and len(network.output.shape) == 2:
        raise GraftError(
            f"head.pooling is '{pooling}', but the Keras Hub preset {params.name} answers with one vector an image",
            "Leave pooling out in params.yaml",
        )
    inputs = keras.Input((image_size, image_size, 3), dtype="float32", name="image")
    scaled = preset.scaling(image_size)(inputs)
    features = pooled_depths(network)(scaled) if pooling == "depths" else pool(network(scaled), pooling)
    return Backbone(
        name=params.name,
        model=keras.Model(inputs, features, name="backbone"),
        scaled=scaled,
        network=network,
        image_size=image_size,
        weights_source="Keras Hub preset",
        weights_digest=weights_digest(network.weights),
        graph_digest=preset.digest,
    )


def weights_files(params: KerasHubBackboneParams, cache: Path) -> list[Path]:
    """Return the files of a preset folder; of what Keras Hub downloads and caches, none."""
    return params.own_files()


def default_image_size(params: KerasHubBackboneParams) -> int:
    """Return the pixels a side that the preset's image converter names, or its network where that does not.

    Raises:
        GraftError: as :func:`build`, or the preset says no size.
    """
    size = _Preset(params.name).image_size
    if size is None:
        raise GraftError(
            f"The Keras Hub preset {params.name} takes images of any size and does not say which it was made for",
            "Set image_size in params.yaml to what its page says (224 for most)",
        )
    return size


class _Preset:
    """A preset that is there: the settings of its network, and its image converter.

    Raises:
        GraftError: Keras Hub is not installed, has no such preset, or it cannot be had.
    """

    def __init__(self, name: str) -> None:
        if util.find_spec("keras_hub") is None:
            raise GraftError(
                f"The backbone {name} is a Keras Hub preset, and Keras Hub is not installed",
                f"{sys.executable} -m pip install 'graft[keras_hub]'",
            )
        import keras_hub

        own = own_path(name)
        if "://" not in name and not own.is_dir() and name not in keras_hub.models.Backbone.presets:
            raise GraftError(
                f"Keras Hub has no preset '{name}', and there is no folder of that name",
                did_you_mean(name, keras_hub.models.Backbone.presets, "Correct the backbone's name in params.yaml"),
            )
        self.name = name
        self._place = str(own) if own.is_dir() else name
        from keras_hub.src.utils.preset_utils import get_preset_loader

        loader = self._read("cannot be had", lambda: get_preset_loader(self._place))
        self._settings = loader.config
        self._kind = self._read("is of no backbone", loader.check_backbone_class)
        self._converter = self._read(
            "has no image converter to take the scaling of pixels from",
            lambda: keras_hub.layers.ImageConverter.from_preset(self._place),
        )

    def _read(self, failure: str, read: Any) -> Any:
        try:
            with socket_timeout(NETWORK_TIMEOUT_SECONDS):
                return read()
        except Exception as error:
            # Keras Hub passes on whatever Keras, kagglehub, huggingface_hub and their clients raise.
            raise GraftError(
                f"The Keras Hub preset {self.name} {failure}: {first_line(error)}",
                "Name a folder that `save_to_preset` wrote of an image backbone and of its ImageConverter, or see "
                "whether this machine reaches Kaggle",
            ) from error

    @property
    def _shape(self) -> str | None:
        """What the network's arguments call the shape of its images, where that can be chosen."""
        arguments = inspect.signature(self._kind.__init__).parameters
        return next((one for one in _SHAPES if one in arguments), None)

    @property
    def image_size(self) -> int | None:
        """Pixels a side; None where any is taken."""
        named = self._settings.get("config", {}).get(self._shape) or (None, None)
        size = self._converter.image_size or named[:2]
        return int(size[0]) if size[0] is not None and size[0] == size[1] else None

    def network(self, image_size: int) -> keras.Model:
        """Return the network for images of one size, scaled ``[N, S, S, 3]`` to a map or to ``[N, D]``."""
        shape = {self._shape: (image_size, image_size, 3)} if self._shape else {}
        import keras_hub

        try:
            with socket_timeout(NETWORK_TIMEOUT_SECONDS):
                whole = keras_hub.models.Backbone.from_preset(self._place, **shape)
        except Exception as error:
            # As for the settings; and weights of an image size raise where they do not fit.
            own = self.image_size
            raise GraftError(
                f"The Keras Hub preset {self.name} cannot be loaded for images of {image_size}x{image_size} pixels: "
                f"{first_line(error).rstrip(':.')}",
                f"Set image_size: {own}, or auto, in params.yaml" if own not in (None, image_size) else "Fetch it anew",
            ) from error
        network = getattr(whole, "vision_encoder", whole)  # of a pair for images and text
        sides = [tuple(tensor.shape) for tensor in network.inputs]
        if len(sides) != 1 or len(sides[0]) != 4 or sides[0][3] != 3:
            raise GraftError(
                f"The Keras Hub preset {self.name} ({type(whole).__name__}) is not given one image in colour alone",
                "Name the preset of an image backbone",
            )
        if sides[0][1:3] not in ((image_size, image_size), (None, None)):
            raise GraftError(
                f"The Keras Hub preset {self.name} takes images of {sides[0][1]}x{sides[0][2]} pixels, and image_size "
                f"is {image_size}",
                f"Set image_size: {sides[0][1]}, or auto, in params.yaml",
            )
        outputs = keras.tree.flatten(network.output)
        if len(outputs) != 1 or len(outputs[0].shape) not in (2, 3, 4):
            raise GraftError(
                f"The Keras Hub preset {self.name} ({type(whole).__name__}) has no single map, vector or sequence of "
                "tokens as its output",
                "Name the preset of an image backbone",
            )
        return keras.Model(network.inputs[0], _pooled_tokens(outputs[0]), name="keras_hub_network")

    def scaling(self, image_size: int) -> keras.layers.Layer:
        """Return the converter's factor and offset as a layer, RGB in 0..255 in.

        Raises:
            GraftError: the converter makes something else of an image.
        """
        given = [self._converter.scale, self._converter.offset]
        scale, offset = (default if one is None else one for one, default in zip(given, (1.0, 0.0), strict=True))
        # float32 also under mixed precision: half precision has steps of a grey level at 255.
        layer = keras.layers.Rescaling(scale, offset, dtype="float32", name="input_scaling")
        images = trial_images(image_size)[:1].astype(np.float32)
        self._converter.image_size = (image_size, image_size)
        expected = keras.ops.convert_to_numpy(self._converter(images))
        found = keras.ops.convert_to_numpy(layer(images))
        if found.shape != expected.shape or np.abs(found - expected).max() > TOLERANCE * np.abs(expected).max():
            raise GraftError(
                f"The image converter of the Keras Hub preset {self.name} ({type(self._converter).__name__}) does more "
                "to pixels than to multiply and add",
                "Use the same network as an ONNX file, or another one",
            )
        return layer

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides the graph, besides the image size."""
        described = {
            "network": self._settings,
            "scaling": [self._converter.scale, self._converter.offset],
            "keras_hub": metadata.version("keras-hub"),
        }
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _pooled_tokens(features: Any) -> Any:
    """Return a map or a vector as it is, of tokens ``[N, T, D]`` the first, or the mean where all are patches."""
    if len(features.shape) != 3:
        return features
    if math.isqrt(features.shape[1]) ** 2 == features.shape[1]:
        return keras.layers.GlobalAveragePooling1D(name="tokens")(features)
    return features[:, 0]
