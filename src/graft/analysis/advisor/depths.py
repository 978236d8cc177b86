"""A backbone's pooled activations at several depths, from one pass over the images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from graft.networks.backbones.backbone import Backbone
from graft.networks.backbones.cutting import nodes_in_order, single_tensors
from graft.networks.decode_images import KeyedImages
from graft.networks.features.extract import extract
from graft.networks.features.feature_store import FeatureStore
from graft.networks.features.frozen_trunk import FrozenTrunk
from graft.networks.head import pool


@dataclass(frozen=True)
class Depth:
    """A place in a trunk where it could be cut.

    Attributes:
        layer: name of the layer whose output this is, for people.
        above: how many of the trunk's layers, as Keras counts them, come after it: what ``unfreeze`` takes.
        share: of the trunk's layers, those up to here, 0 to 1.
        columns: of the pooled activations of all depths, those of this one.
        multiply_adds: of a forward pass of one image up to here, in convolutions and dense layers: what takes the time.
        bytes: of one image's activations here, in float32.
    """

    layer: str
    above: int
    share: float
    columns: slice
    multiply_adds: int
    bytes: int


@dataclass(frozen=True)
class DeepFeatures:
    """A backbone with all depths as one output.

    Attributes:
        model: images float32 ``[N, S, S, 3]`` in 0..255 to ``[N, D]``, the depths side by side.
        depths: lowest first; the last is the trunk's own output.
        described: all that decides what ``model`` answers, for the feature store.
        backbone: which it is.
    """

    model: keras.Model
    depths: list[Depth]
    described: dict[str, object]
    backbone: Backbone

    @property
    def name(self) -> str:
        """Of the backbone."""
        return self.backbone.name

    def of(
        self, images: KeyedImages, label: str, store: FeatureStore | None, mirrored: tuple[int, ...] = ()
    ) -> np.ndarray:
        """Pooled activations float32 ``[N, D]``, each computed once; those of the top are then a head's features.

        Args:
            images: see :func:`graft.networks.features.extract.extract`, as ``label``.
            store: None keeps nothing.
            mirrored: axes of ``[N, S, S, 3]`` along which the images are mirrored first.
        """
        what = "pooled at several depths" + (", mirrored" if mirrored else "")
        space = store.space({**self.described, "mirrored": mirrored}, what) if store else None
        mirror = (lambda pixels, keys: np.flip(pixels, mirrored)) if mirrored else None
        kept = store.network(self.described) if store else None
        found = extract(self.model, images, label, space, mirror, network=kept)
        if store and len(self.backbone.trunk.output.shape) == 4:
            # The average over the top's map is what a head stands on: what is advised is trained on it straight away.
            top = FrozenTrunk.of(self.backbone, store).space(mirrored)
            new = [row for row, key in enumerate(images.keys) if key not in top]
            top.write([images.keys[row] for row in new], found[new, self.depths[-1].columns])
        return found


def deep_features(backbone: Backbone, count: int) -> DeepFeatures:
    """The backbone with ``count`` depths, fewer where it has not as many places to cut it.

    They are spread evenly over the layers; of those near a place, the one whose output is smallest is taken: that is
    where an architecture itself is narrow, between its blocks, and where activations are cheapest to keep.

    Args:
        count: at least 1: the trunk's output.
    """
    trunk = backbone.trunk
    order = nodes_in_order(trunk)
    places = single_tensors(order)
    chosen = []
    for number in range(count - 1):
        low, high = len(order) * number // count, len(order) * (number + 1) // count
        near = [index for index in places if max(1, low) <= index < high]
        if near:
            chosen.append(min(near, key=lambda index: (math.prod(order[index].outputs[0].shape[1:]), -index)))
    chosen.append(len(order) - 1)
    positions = {id(layer): index for index, layer in enumerate(trunk.layers)}
    pooled, depths, start = [], [], 0
    for index in chosen:
        tensor = order[index].outputs[0]
        vectors = (
            keras.layers.GlobalAveragePooling2D()(tensor)
            if len(tensor.shape) == 4
            else pool(tensor, "flatten")
        )
        width = int(vectors.shape[-1])
        # Layers that are trained when all after this node are: those of the nodes that follow.
        after = [
            positions[id(node.operation)] for node in order[index + 1 :] if id(node.operation) in positions
        ]
        above = len(trunk.layers) - min(after, default=len(trunk.layers))
        columns = slice(start, start + width)
        depths.append(
            Depth(
                order[index].operation.name,
                above,
                (index + 1) / len(order),
                columns,
                multiply_adds=sum(_multiply_adds(node) for node in order[: index + 1]),
                bytes=4 * math.prod(tensor.shape[1:]),
            )
        )
        pooled.append(vectors)
        start += width
    joined = keras.layers.Concatenate()(pooled) if len(pooled) > 1 else pooled[0]
    bottom = keras.Model(trunk.input, joined, name="depths")
    return DeepFeatures(
        model=keras.Model(backbone.model.input, bottom(backbone.scaled), name="deep_features"),
        depths=depths,
        described={**backbone.identity, "part": "depths", "at": chosen},
        backbone=backbone,
    )


def _multiply_adds(node: Any) -> int:
    """Of an operation, for one input: each number of its output takes all of a kernel but the output's own axis."""
    weights = getattr(node.operation, "weights", [])
    kernels = [variable for variable in weights if "kernel" in variable.path.rsplit("/", 1)[-1]]
    shape = node.outputs[0].shape[1:-1]
    return math.prod(shape) * sum(math.prod(kernel.shape) for kernel in kernels)
