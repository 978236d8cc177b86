"""ImageNet's networks as models to predict with: ``imagenet``, ``imagenet:NAME`` or ``imagenet:NAME:FILE``.

A network of ``keras.applications`` with its head becomes a bundle in the cache, once; from there on it is a model like
any other.
"""

import hashlib
import json
from pathlib import Path

from graft.bundle.images import CENTRE
from graft.bundle.record import SETTINGS_FILE, ChangedModelError, read_checked, sha256
from graft.core.errors import GraftError
from graft.core.files import new_folder, sha256_of
from graft.core.outside import own_path
from graft.core.progress import console
from graft.core.project import Project
from graft.registry.resolve import ResolvedModel

IMAGENET = "imagenet"
# Its head can be had from a package registry where Keras' own download does not answer.
DEFAULT_NETWORK = "ResNet50"


def is_imagenet(text: str) -> bool:
    """Return whether a model's name means one of ImageNet's networks."""
    return text.partition(":")[0] == IMAGENET


def imagenet_model(project: Project, text: str) -> ResolvedModel:
    """Return the model that such a name means, made where the cache does not have it.

    It is shown the middle of each photograph, as these networks are tested.

    Args:
        text: of the form of the module's text; FILE holds the weights of the whole network.

    Raises:
        GraftError: there is no such network or file, or weights or class names cannot be had.
    """
    name, _, file = text.partition(":")[2].partition(":")
    name = name or DEFAULT_NETWORK
    weights = own_path(file) if file else None
    bundle = project.cache / IMAGENET / f"{name}-{_key(weights)}" / "model"
    if not _is_whole(bundle):
        _make(name, weights, project.cache, bundle)
    return ResolvedModel(bundle, f"{name} of ImageNet", "", "", sha256(bundle / SETTINGS_FILE))


def _key(weights: Path | None) -> str:
    from graft.networks.code_identity import building_identity

    if weights is not None and not weights.is_file():
        raise GraftError(f"There is no weights file {weights}", "Correct --model imagenet:NAME:FILE")
    described = [building_identity(), sha256_of(weights) if weights else "imagenet"]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]


def _is_whole(bundle: Path) -> bool:
    try:
        read_checked(bundle)
    except (OSError, ValueError, ChangedModelError):
        return False
    return True


def _make(name: str, weights: Path | None, cache: Path, bundle: Path) -> None:
    from graft.networks.engines.tensorflow_import import import_tensorflow

    import_tensorflow()
    from graft.networks.imagenet.imagenet_network import imagenet_class_names, imagenet_network
    from graft.training.write_bundle import write_bundle

    network, source = imagenet_network(name, weights, cache)
    classes = imagenet_class_names(cache)
    with new_folder(bundle.parent, replace=True) as folder:
        write_bundle(network, classes, int(network.input_shape[1]), folder / bundle.name, view=CENTRE)
    console.print(f"{name}, weights: {source}", soft_wrap=True, markup=False)
