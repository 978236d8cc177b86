"""Trace graphs of TensorFlow's once, and save them as SavedModels.

Keras' own export looks through every layer for tables and traces a graph several times: three times as long.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

GRAPH = "_graft_inference_graph"


def traced(function: Callable[[Any], Any], shape: Sequence[int | None], name: str, dtype: Any = "float32") -> Any:
    """Return the graph of a function of one tensor, ``name`` of ``shape``, as TensorFlow's concrete function.

    Traced here: saving would trace a function that is not, and running it would do so again.
    """
    import tensorflow as tf

    signature = [tf.TensorSpec(shape, dtype, name=name)]
    return tf.function(function, input_signature=signature, autograph=False).get_concrete_function()


def inference_graph(model: Any) -> Any:
    """Return the graph of a Keras model of one input, in inference mode; trace it once and cache it with the model."""
    graph = getattr(model, GRAPH, None)
    if graph is None:
        (given,) = model.inputs
        graph = traced(lambda inputs: model(inputs, training=False), given.shape, "inputs", given.dtype)
        # Past Keras, which looks into whatever is put into a model; a table of graphs by model would keep both alive.
        object.__setattr__(model, GRAPH, graph)
    return graph


def save_traced(
    signatures: Mapping[str, Any], variables: Sequence[Any], trainable: Sequence[Any], path: Path, **others: Any
) -> None:
    """Write a SavedModel of graphs.

    Args:
        signatures: of :func:`traced`, whose functions return dictionaries.
        variables: all that the graphs use but ``others``, Keras' variables; kept as ``variables/0``, ``/1``, ...
    """
    import tensorflow as tf

    root = tf.train.Checkpoint(**others)
    # Under the names that Keras' export gives them, and reusable SavedModels have.
    root.variables = [variable.value for variable in variables]
    root.trainable_variables = [variable.value for variable in trainable]
    tf.saved_model.save(root, str(path), signatures=dict(signatures))
