"""Out of memory: the error names a batch that fits, found by trying; other errors pass as they are."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from graft.core.errors import GraftError
from graft.core.params.strategy_params import FitParams
from graft.training.batches import Batches
from graft.training.fit import Labelled, fit
from graft.training.out_of_memory import explain_out_of_memory, is_out_of_memory

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


@pytest.mark.parametrize(("limit", "fits"), [(19, 10), (5, 5), (4, 2), (1, 1)])
@pytest.mark.parametrize("error", [exhausted, MemoryError], ids=["tensorflow", "python"])
def test_the_error_names_the_batch_that_fits(limit: int, fits: int, error: Callable[[], Exception]) -> None:
    with pytest.raises(GraftError, match=rf"batch of 20 does not fit into memory. Set batch_size: {fits}, which does"):
        train(model_that_holds(limit, error))


def test_where_not_even_one_image_fits_the_error_says_so() -> None:
    with pytest.raises(
        GraftError, match=r"batch of 20 does not fit into memory, nor does a single image. Lower image_size"
    ):
        train(model_that_holds(0, exhausted))


def test_a_batch_of_one_is_as_small_as_it_gets() -> None:
    with pytest.raises(GraftError, match=r"nor does a single image"):
        train(model_that_holds(0, exhausted), batch_size=1)


class Held:
    """What a failed step computed."""


def test_what_a_failed_step_held_is_given_back_before_the_next() -> None:
    held: list[weakref.ref[Held]] = []
    tried: list[int] = []

    class Model:
        def train_on_batch(self, inputs: np.ndarray, *_: Any, **__: Any) -> None:
            assert [ref() for ref in held] == [None] * len(held)
            tried.append(len(inputs))
            computed = Held()
            held.append(weakref.ref(computed))
            if len(inputs) > 3:
                try:
                    raise MemoryError
                except MemoryError as error:
                    raise RuntimeError("OOM when allocating") from error
            del computed

    model, batches = Model(), Batches(np.zeros((20, 3), np.float32), np.arange(20) % 2, 2, 20)
    try:
        model.train_on_batch(np.zeros((20, 3)))
    except RuntimeError as error:
        found = explain_out_of_memory(error, model, batches)  # type: ignore[arg-type]
    assert "Set batch_size: 2" in str(found)
    assert tried == [20, 10, 5, 2]


def test_another_error_passes_as_it_is() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="no such thing"):
        train(model_that_holds(5, lambda: ValueError("no such thing")))


def test_what_graft_refuses_passes_as_it_is() -> None:
    model = model_that_holds(100, exhausted)
    model.layers[-1].kernel.assign(np.full((3, 2), np.nan))
    with pytest.raises(GraftError, match=r"loss became nan"):
        train(model)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("XlaRuntimeError", "RESOURCE_EXHAUSTED: Out of memory allocating 1073741824 bytes."),
        ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB."),
    ],
)
def test_other_backends_are_understood(kind: str, message: str) -> None:
    assert is_out_of_memory(type(kind, (RuntimeError,), {})(message))


@pytest.mark.parametrize("error", [ValueError("no"), RuntimeError("CUDA error"), KeyError("memory")])
def test_not_everything_is_a_want_of_memory(error: Exception) -> None:
    assert not is_out_of_memory(error)
