"""Cut a backbone in two: what is below the cut is always the same, what is above it is trained.

::

    image -> scaling -> layer, layer, ... | tensor | ..., layer, layer -> pooling -> features
                            below             cut              above
"""

from dataclasses import dataclass
from typing import Any

import keras

from graft.networks.backbones.backbone import Backbone


@dataclass(frozen=True)
class CutBackbone:
    """A backbone in two models that share its layers, so that training ``above`` trains the backbone.

    Attributes:
        below: float32 images ``[N, S, S, 3]`` in 0..255 to activations at the cut.
        above: activations to features ``[N, D]``.
        layer: name of the layer whose output the cut goes through, for people: Keras numbers some names anew in
            every process.
        position: the same by its place among all operations of the backbone.
    """

    below: keras.Model
    above: keras.Model
    layer: str
    position: str


def cut(backbone: Backbone, first: int) -> CutBackbone | None:
    """Cut as high as can be below the backbone's layer of index ``first``; None where nothing is left below.

    The cut goes through a single tensor. Where a skip connection leads past the layer itself, it goes below the
    block: the layers in between are run with what is above, and stay as they are.
    """
    network = backbone.network
    order = nodes_in_order(network)
    trained = {id(layer) for layer in network.layers[first:]}
    first_trained = next(index for index, node in enumerate(order) if id(node.operation) in trained)
    index = max((index for index in single_tensors(order) if index < first_trained), default=None)
    if index is None:
        return None
    (tensor,) = order[index].outputs
    below = keras.Model(network.input, tensor, name="bottom")(backbone.scaled)
    activations = keras.Input(tensor.shape[1:], dtype=tensor.dtype, name="activations")
    values = {id(tensor): activations}
    for node in order[index + 1 :]:
        arguments, options = node.arguments.fill_in(values)
        outputs = keras.tree.flatten(node.operation(*arguments, **options))
        values |= {id(one): value for one, value in zip(node.outputs, outputs, strict=True)}
    x = values[id(network.output)]
    for after in backbone.model.layers[backbone.model.layers.index(network) + 1 :]:
        x = after(x)
    return CutBackbone(
        below=keras.Model(backbone.model.input, below, name="below"),
        above=keras.Model(activations, x, name="above"),
        layer=order[index].operation.name,
        position=f"{index} of {len(order)}",
    )


def nodes_in_order(network: keras.Model) -> list[Any]:
    """Return all operations of a backbone, each after those it depends on; the first is the input.

    Nodes rather than layers: some operations are no layers, and a layer may stand in other graphs too.
    """
    return [node for depth in sorted(network._nodes_by_depth, reverse=True) for node in network._nodes_by_depth[depth]]


def single_tensors(order: list[Any]) -> list[int]:
    """Return indices of the nodes whose output is all that goes on from them and the nodes before; not the input's.

    Args:
        order: see :func:`nodes_in_order`.
    """
    places = {id(node): index for index, node in enumerate(order)}
    last_use = list(range(len(order)))
    for index, node in enumerate(order):
        for parent in node.parent_nodes:
            last_use[places[id(parent)]] = index
    found, reach = [], last_use[0]
    for index in range(1, len(order)):
        if reach <= index and len(order[index].outputs) == 1:
            found.append(index)
        reach = max(reach, last_use[index])
    return found
