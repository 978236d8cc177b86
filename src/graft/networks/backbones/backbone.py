"""The one interface of every backbone, whichever source it came from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from graft.networks.code_identity import code_identity


class LayerlessNetwork(keras.layers.Layer):
    """Base of networks that are no Keras model: trained whole or not at all, float32 always, saved by Keras itself."""

    def unfreeze(self, batch_norm_updates: bool) -> None:
        """Let training change the backbone's weights; batch norm's statistics too where ``batch_norm_updates``."""
        raise NotImplementedError


@dataclass(frozen=True)
class Backbone:
    """A pretrained network that takes photographs as they are and gives one feature vector each.

    Attributes:
        name: as the user named it in params.
        model: float32 ``[N, S, S, 3]``, RGB in 0..255, to ``[N, D]``. Holds the input scaling that the weights
            were trained with, the network, and pooling where the network ends in a map.
        scaled: symbolic output of the input scaling in ``model``, which is the network's input there.
        network: the pretrained network itself, a layer of ``model``; what is unfrozen is unfrozen in here.
        image_size: S, in pixels.
        weights_source: the source of the weights, in words.
        weights_digest: see :func:`weights_digest`; equal for equal weights, whatever their source or file.
        graph_digest: of the graph, where it comes from elsewhere than Keras' code: of a Hub module's file.
    """

    name: str
    model: keras.Model
    scaled: Any
    network: keras.layers.Layer
    image_size: int
    weights_source: str
    weights_digest: str
    graph_digest: str = ""

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides the outputs of ``network``, JSON-ready; what is asked of it comes on top."""
        return {
            "backbone": self.name,
            "weights": self.weights_digest,
            "graph": self.graph_digest,
            "image_size": self.image_size,
            "code": code_identity(),
            "precision": keras.config.dtype_policy().name,
        }

    @property
    def has_layers(self) -> bool:
        """Whether the backbone can be cut and unfrozen in part."""
        return not isinstance(self.network, LayerlessNetwork)

    @property
    def feature_count(self) -> int:
        return int(self.model.output_shape[-1])


def weights_digest(tensors: Sequence[Any]) -> str:
    """Return the SHA-256 over shapes and float32 bytes of the tensors, in order; hexadecimal.

    The official download, a copy in a package and a file of one's own are the same weights exactly if their
    digests agree. Names stay out of it: Keras numbers them differently from one process to the next.
    """
    digest = hashlib.sha256()
    for tensor in tensors:
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(tensor), dtype="<f4")
        digest.update(repr(array.shape).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
