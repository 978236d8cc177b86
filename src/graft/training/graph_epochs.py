"""Run epochs over features as few calls of one TensorFlow graph: Keras' loop outweighs a head's small step.

A step of a head on 32 vectors takes a third of a millisecond of arithmetic, and Keras spends ten times that on handing
the batch over and on coming back to Python. Here a graph goes through many batches before it comes back; each is still
a step of Keras' own, and callbacks are called for each, so that figures and weights are those of ``keras.Model.fit``.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from graft.networks.decode_images import rows_of
from graft.training.batches import Batches

# Up to here all features are one tensor, and the graph gets the rows that make up a batch.
HELD_BYTES = 64 * 1024**2
# What is handed to the graph at a time: past this, calls no longer count and memory does.
CALL_BYTES = 16 * 1024**2


def suits_graph(batches: Batches) -> bool:
    """Return whether the batches are of vectors that go to one device: what this module is for."""
    return batches.inputs.ndim == 2 and batches.mix is None and batches.devices == 1


def fit_features(
    model: keras.Model,
    train: Batches,
    val: Batches,
    epochs: int,
    initial_epoch: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Fit as ``model.fit`` does for a compiled model whose metrics are loss, accuracy and log_loss.

    Callbacks hear of each batch after the call of the graph that it was part of.

    Args:
        model: features float32 ``[N, D]`` to logits.
        train, val: see :func:`suits_graph`.
        callbacks: what follows the fit; one of them puts ``train`` into the order of each epoch.
    """
    listeners = keras.callbacks.CallbackList(list(callbacks), model=model, epochs=epochs, steps=len(train), verbose=0)
    run_train, run_val = _graph(model.train_step, train), _graph(model.test_step, val)
    held_train, held_val = _held(train), _held(val)
    model.stop_training = False
    listeners.on_train_begin()
    logs: dict[str, Any] = {}
    for epoch in range(initial_epoch, epochs):
        model.reset_metrics()
        listeners.on_epoch_begin(epoch)
        for first, figures in _calls(run_train, train, held_train):
            for step in range(len(figures["loss"])):
                listeners.on_train_batch_begin(first + step)
                listeners.on_train_batch_end(first + step, {name: values[step] for name, values in figures.items()})
        logs = dict(model.get_metrics_result())
        listeners.on_test_begin()
        model.reset_metrics()
        for _ in _calls(run_val, val, held_val):
            pass
        logs |= {f"val_{name}": value for name, value in model.get_metrics_result().items()}
        listeners.on_test_end(logs)
        listeners.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    model.optimizer.finalize_variable_values(model.trainable_weights)
    listeners.on_train_end(logs)


def _held(batches: Batches) -> Any | None:
    """Return all inputs as one tensor for every call of an epoch, or None where there are too many."""
    import tensorflow as tf

    return tf.constant(batches.inputs) if batches.inputs.nbytes <= HELD_BYTES else None


def _calls(run: Any, batches: Batches, held: Any | None) -> Any:
    """Run an epoch; yield the place of the first batch of each call, and the figures after each batch."""
    row = batches.one_hot[:1].nbytes + (batches.inputs[:1].nbytes if held is None else 0)
    at_a_time = max(1, CALL_BYTES // (row * batches.batch_size))
    for first in range(0, len(batches), at_a_time):
        rows, targets, weights = batches.rows(first, first + at_a_time)
        inputs = held
        if inputs is None:
            inputs, rows = rows_of(batches.inputs, rows), np.arange(len(rows))
        figures = run(inputs, rows, targets, weights)
        yield first, {name: values.numpy() for name, values in figures.items()}


def _graph(step: Any, batches: Batches) -> Any:
    """Return one call for many steps, to figures ``[steps]``.

    It takes inputs, the rows of them that make up the batches one after another, and the targets and weights of these.
    The inputs are an argument, since TensorFlow frees what a graph has captured only as the process ends.
    """
    import tensorflow as tf

    size, classes = batches.batch_size, batches.one_hot.shape[1]
    names = ("loss", "accuracy", "log_loss")

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, *batches.inputs.shape[1:]), batches.inputs.dtype),
            tf.TensorSpec((None,), tf.int64),
            tf.TensorSpec((None, classes), tf.float32),
            tf.TensorSpec((None,), tf.float32),
        ],
        autograph=False,  # it would write code into a temporary file, which a kill leaves behind
    )
    def run(inputs: Any, rows: Any, targets: Any, weights: Any) -> Any:
        steps = -(-tf.shape(targets)[0] // size)

        def one(index: Any, written: Any) -> tuple[Any, Any]:
            part = slice(index * size, (index + 1) * size)
            logs = step((tf.gather(inputs, rows[part]), targets[part], weights[part]))
            return index + 1, written.write(index, tf.stack([logs[name] for name in names]))

        written = tf.TensorArray(tf.float32, steps, element_shape=(len(names),))
        _, written = tf.while_loop(
            lambda index, _: index < steps, one, [tf.constant(0), written], parallel_iterations=1
        )
        figures = written.stack()
        return {name: figures[:, column] for column, name in enumerate(names)}

    return run
