"""Import TensorFlow, once and quietly."""

import gc
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from graft.core.environment import CONVOLUTIONS

# What Keras imports where it is installed, for wrappers and galleries that graft has no use for: a quarter of the time
# that importing TensorFlow takes.
UNUSED = ("matplotlib", "sklearn", "scipy")


def import_tensorflow() -> None:
    """Import TensorFlow and Keras; later imports of either are free.

    Keras does without its wrappers for scikit-learn and its galleries of images for as long as the process lives.

    TensorFlow's native code greets every process with lines about CPU features and missing GPU libraries that
    no setting silences, because they are printed before its log level is read. A failing import still raises.

    Float32 is float32 afterwards, also on a GPU, see :func:`graft.networks.engines.devices.whole_float32`; Keras has
    its own defaults, whatever a ``keras.json`` says, since figures are not to depend on the account.
    """
    for name, value in CONVOLUTIONS.items():
        os.environ.setdefault(name, value)
    with hidden(UNUSED), without_collecting(), stderr_silenced(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
        tf.config.experimental.enable_tensor_float_32_execution(False)
        # The GPU list is what makes the native code look for its libraries, and talk about it.
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        from keras import config

        config.set_floatx("float32")
        config.set_epsilon(1e-7)
        config.set_image_data_format("channels_last")


def with_tensorflow(module: str, function: str, arguments: tuple[Any, ...], item: Any) -> Any:
    """Call a function of a module, with ``item`` last, which may be on another machine.

    It goes there by its name, so that TensorFlow is imported as it should be before the module imports it.
    """
    import_tensorflow()
    return getattr(import_module(module), function)(*arguments, item)


@contextmanager
def hidden(packages: Iterable[str]) -> Iterator[None]:
    """Hide packages from whoever imports them within the block, as if they were not installed.

    What has been imported before stays, and afterwards all can be imported.
    """
    absent = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)


@contextmanager
def without_collecting() -> Iterator[None]:
    """Stop Python's collector from going through what is imported in the block, then and later.

    None of it becomes garbage. It is half a million objects: a quarter of the rest of TensorFlow's import, and a fifth
    of saving a model.
    """
    was_enabled, before = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > before:  # else all was imported already, and what lies around may be garbage
            gc.freeze()
        if was_enabled:
            gc.enable()


@contextmanager
def stderr_silenced() -> Iterator[None]:
    """Send file descriptor 2 to nowhere: native code does not go through ``sys.stderr``."""
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
