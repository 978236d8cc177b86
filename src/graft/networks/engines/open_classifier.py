"""Open a bundle on the fastest engine here: OpenVINO on a CPU, TensorFlow on a GPU or where OpenVINO does not do.

OpenVINO reads a SavedModel by itself, so a classifier on a CPU is there within a second and needs no TensorFlow,
whose import alone takes several.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from graft.bundle.model import FEATURES, SAVED_MODEL, ImageClassifier
from graft.bundle.record import ChangedModelError, read_settings
from graft.bundle.trial import require_agreement, trial_images
from graft.core.errors import GraftError, first_line
from graft.core.progress import console
from graft.networks.engines.openvino_run import Run, saved_model_run
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
        self._bundle = bundle
        self._run = saved_model_run(bundle / SAVED_MODEL, np.uint8)
        self._run_with_features: Run | None = None
        settings = read_settings(bundle)
        require_agreement(self(trial_images(settings["image_size"])), np.array(settings["answers"]))

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return self._run(pixels)

    def with_features(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._run_with_features is None:  # few ask for them
            self._run_with_features = saved_model_run(self._bundle / SAVED_MODEL, np.uint8, FEATURES)
        classes = len(read_settings(self._bundle)["classes"])
        found = self._run_with_features(pixels)
        return found[:, :classes], found[:, classes:]


def open_classifier(bundle: Path, count: int | None = None, wanted: Mapping[str, Any] | None = None) -> ImageClassifier:
    """Open the classifier of a bundle on the engine that is fastest here; several threads may use it in turn.

    Args:
        count: how many images it will be shown, where that is known.
        wanted: what to decide, for a bundle in which nothing was decided, see :mod:`graft.bundle.decisions`.

    Raises:
        GraftError: the bundle's files were changed since they were written.
    """
    with unchanged():
        return _open(bundle, count, wanted)


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    """Have a changed model, which a bundle's own code reports as it can, be a GraftError."""
    try:
        yield
    except ChangedModelError as error:
        raise GraftError(
            str(error), "Fetch or register the model again; graft loads nothing of one that was changed"
        ) from error


def _open(bundle: Path, count: int | None, wanted: Mapping[str, Any] | None) -> ImageClassifier:
    if GPU_DEVICE.exists() and (count is None or count >= WORTH_A_GPU) and _tensorflow_sees_gpu():
        return ImageClassifier(bundle, wanted=wanted)
    try:
        return ImageClassifier(bundle, OpenVinoNetwork, wanted)
    except ChangedModelError:
        raise
    except Exception as error:
        # Its reader raises all kinds, for example where a network holds an operation that it does not know.
        console.print(
            f"OpenVINO does not take this model over ({first_line(error)}): running it with TensorFlow", soft_wrap=True
        )
    import_tensorflow()
    return ImageClassifier(bundle, wanted=wanted)


def _tensorflow_sees_gpu() -> bool:
    import_tensorflow()
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
