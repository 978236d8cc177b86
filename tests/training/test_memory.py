"""Out of memory: the error names half the batch; other errors pass as they are."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from graft.core.errors import GraftError
from graft.core.params.strategy_params import FitParams
from graft.training.fit import Labelled, fit, is_out_of_memory

tf = pytest.importorskip("tensorflow")


def model_that_holds(limit: int, error: Callable[[], Exception]) -> keras.Model:
    """One whose graph fails on larger batches than ``limit``, the way its error is raised inside TensorFlow."""

    class Limited(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            def check(values: Any) -> Any:
                if len(values) > limit:
                    raise error()
                return values

            checked = tf.py_function(check, [inputs], inputs.dtype)
            checked.set_shape(inputs.shape)
            return checked

        def compute_output_shape(self, input_shape: Any) -> Any:
            return input_shape

    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Dense(2)(Limited()(inputs)))


def train(model: keras.Model, batch_size: int = 20) -> None:
    inputs = np.random.default_rng(0).normal(0, 1, (40, 3)).astype(np.float32)
    data = Labelled(inputs, np.arange(40) % 2)
    params = FitParams(epochs=1, batch_size=batch_size, learning_rate=0.01)
    fit(model, data, data, params, classes=2, seed=1, label="test")


def exhausted() -> Exception:
    return tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[20,96,96,3]")


@pytest.mark.parametrize(("batch_size", "half"), [(20, 10), (7, 3), (2, 1)])
@pytest.mark.parametrize("error", [exhausted, MemoryError], ids=["tensorflow", "python"])
def test_the_error_names_half_the_batch(batch_size: int, half: int, error: Callable[[], Exception]) -> None:
    with pytest.raises(GraftError, match=rf"batch of {batch_size} does not fit into memory. Set batch_size: {half}\b"):
        train(model_that_holds(1, error), batch_size)


def test_a_single_image_that_does_not_fit_is_another_matter() -> None:
    with pytest.raises(GraftError, match="batch of 1 does not fit into memory. Lower image_size"):
        train(model_that_holds(0, exhausted), batch_size=1)


def test_another_error_passes_as_it_is() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="no such thing"):
        train(model_that_holds(5, lambda: ValueError("no such thing")))


def test_what_graft_refuses_passes_as_it_is() -> None:
    model = model_that_holds(100, exhausted)
    model.layers[-1].kernel.assign(np.full((3, 2), np.nan))
    with pytest.raises(GraftError, match=r"loss became nan"):
        train(model)


@pytest.mark.parametrize(
    ("kind", "message"), [("XlaRuntimeError", "RESOURCE_EXHAUSTED: Out of memory allocating 1073741824 bytes.")]
)
def test_what_xla_says_is_understood(kind: str, message: str) -> None:
    assert is_out_of_memory(type(kind, (RuntimeError,), {})(message))


@pytest.mark.parametrize("error", [ValueError("no"), RuntimeError("CUDA error"), KeyError("memory")])
def test_not_everything_is_a_want_of_memory(error: Exception) -> None:
    assert not is_out_of_memory(error)
