"""Open a bundle on the fastest engine here: OpenVINO on a CPU, TensorFlow on a GPU or where OpenVINO does not do.

OpenVINO reads a SavedModel by itself, so a classifier on a CPU is there within a second and needs no TensorFlow,
whose import alone takes several.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from graft.bundle.model import SAVED_MODEL, ImageClassifier
from graft.bundle.record import ChangedModelError, read_settings
from graft.bundle.trial import require_agreement, trial_images
from graft.core.errors import GraftError, first_line
from graft.core.progress import console
from graft.networks.engines.openvino_run import saved_model_run
from graft.networks.engines.tensorflow_import import import_tensorflow

# Fewer images than this are through OpenVINO on the CPU before TensorFlow has found the GPU, which takes 10 s and
# more; a mobile network sees about 100 images a second on two cores.
WORTH_A_GPU = 1_000
# What the driver of NVIDIA's cards leaves where there is one.
GPU_DEVICE = Path("/dev/nvidia0")


class OpenVinoNetwork:
    """The SavedModel of a bundle run with OpenVINO on the CPU, see :class:`graft.bundle.model.Network`.

    Raises:
        Exception: OpenVINO cannot run it (of whatever kind its reader raises), or answers for the trial images
            otherwise than the network did when it was written.
    """

    def __init__(self, bundle: Path) -> None:
        self._run = saved_model_run(bundle / SAVED_MODEL, np.uint8)
        settings = read_settings(bundle)
        require_agreement(self(trial_images(settings["image_size"])), np.array(settings["answers"]))

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return self._run(pixels)


def open_classifier(bundle: Path, count: int | None = None) -> ImageClassifier:
    """Open the classifier of a bundle on the engine that is fastest here; several threads may use it in turn.

    Args:
        count: how many images it will be shown, where that is known.

    Raises:
        GraftError: the bundle's files were changed since they were written.
    """
    with unchanged():
        return _open(bundle, count)


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    """Have a changed model, which a bundle's own code reports as it can, be a GraftError."""
    try:
        yield
    except ChangedModelError as error:
        raise GraftError(
            str(error), "Fetch or register the model again; graft loads nothing of one that was changed"
        ) from error


def _open(bundle: Path, count: int | None) -> ImageClassifier:
    if GPU_DEVICE.exists() and (count is None or count >= WORTH_A_GPU) and _tensorflow_sees_gpu():
        return ImageClassifier(bundle)
    try:
        return ImageClassifier(bundle, OpenVinoNetwork)
    except ChangedModelError:
        raise
    except Exception as error:
        # Its reader raises all kinds, for example where a network holds an operation that it does not know.
        console.print(
            f"OpenVINO does not take this model over ({first_line(error)}): running it with TensorFlow", soft_wrap=True
        )
    import_tensorflow()
    return ImageClassifier(bundle)


def _tensorflow_sees_gpu() -> bool:
    import_tensorflow()
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
