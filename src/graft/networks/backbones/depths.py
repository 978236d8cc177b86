"""Pool features from several depths of a network: averages over its maps from lines and colours up to whole things.

Photographs that are unlike ImageNet's differ from each other in what lower layers see (U. Evci et al., Head2Toe, ICML
2022). All depths come from the one pass that the top takes anyway.
"""

import math
from typing import Any

import keras

from graft.networks.backbones.cutting import nodes_in_order, single_tensors

DEPTHS = 6


def pooled_depths(network: keras.Model) -> keras.Model:
    """Return a model from the input to averages over :data:`DEPTHS` of the maps, ``[N, D]``, the top's first.

    The maps are spread evenly over the layers, fewer where there are fewer. Of those near a place the smallest is
    taken: there an architecture is narrow, between its blocks.
    """
    order = nodes_in_order(network)
    places = single_tensors(order)
    chosen = [len(order) - 1]
    for number in reversed(range(DEPTHS - 1)):
        low, high = len(order) * number // DEPTHS, len(order) * (number + 1) // DEPTHS
        near = [index for index in places if max(1, low) <= index < high]
        if near:
            chosen.append(min(near, key=lambda index: (math.prod(order[index].outputs[0].shape[1:]), -index)))
    pooled = [_averages(order[index].outputs[0]) for index in chosen]
    joined = keras.layers.Concatenate(name="depths")(pooled) if len(pooled) > 1 else pooled[0]
    return keras.Model(network.input, joined, name="pooled_depths")


def _averages(tensor: Any) -> Any:
    if len(tensor.shape) == 4:
        return keras.layers.GlobalAveragePooling2D()(tensor)
    return tensor if len(tensor.shape) == 2 else keras.layers.GlobalAveragePooling1D()(tensor)
