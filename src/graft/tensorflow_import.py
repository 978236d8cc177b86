"""Importing TensorFlow, once and quietly."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def import_tensorflow() -> None:
    """Imports TensorFlow and Keras; later imports of either are free.

    TensorFlow's native code greets every process with lines about CPU features and missing GPU libraries that
    no setting silences, because they are printed before its log level is read. A failing import still raises.
    """
    with stderr_silenced(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
        # The GPU list is what makes the native code look for its libraries, and talk about it.
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)


@contextmanager
def stderr_silenced() -> Iterator[None]:
    """Sends file descriptor 2 to nowhere: native code does not go through ``sys.stderr``."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
