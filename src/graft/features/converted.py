"""Networks in OpenVINO's form, kept: to convert one takes seconds, to read one a tenth of a second.

::

    <folder>/<name>/network.xml, network.bin    as OpenVINO reads them
    <folder>/<name>/sha256                      of both: a network that is not what was written is converted anew

The name is a hash of all that decides what the network answers, as that of a space of the feature store is. Safe to
delete at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

from graft.openvino_run import import_openvino

# All together; the one used longest ago goes first. Two dozen of MobileNetV2's size, and the largest of Keras' once.
LIMIT_BYTES = 10**9
NETWORK = "network.xml"
DIGEST = "sha256"


def network_folder(folder: Path, description: Mapping[str, Any]) -> Path:
    """Where the network that ``description`` (JSON-ready) decides is kept, below ``folder``."""
    text = json.dumps({"openvino": metadata.version("openvino"), **description}, sort_keys=True)
    return folder / hashlib.sha256(text.encode()).hexdigest()[:24]


def is_kept(folder: Path | None) -> bool:
    """Whether a network is kept there."""
    return folder is not None and (folder / NETWORK).is_file()


def kept_network(core: Any, folder: Path | None) -> Any | None:
    """The network that is kept there, as OpenVINO's; None where there is none, or not what was written."""
    if folder is None or not is_kept(folder):
        return None
    with suppress(OSError):  # another process may have removed it
        if _digest(folder) == (folder / DIGEST).read_text(encoding="ascii"):
            with suppress(OSError):
                os.utime(folder)  # used now
            return core.read_model(folder / NETWORK)
    # What stays in its place could never be written anew.
    shutil.rmtree(folder, ignore_errors=True)
    return None


def openvino_network(core: Any, model: keras.Model, folder: Path | None) -> Any:
    """The network as OpenVINO's: read from ``folder``, or converted, and kept there; None keeps nothing.

    Raises:
        Exception: OpenVINO cannot take the network over; of whatever kind its converter raises.
    """
    network = kept_network(core, folder)
    if network is not None:
        return network
    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras' exporter, about what does not concern the user
        path = Path(temporary) / NETWORK
        _convert(model, path)
        if folder is not None:
            _keep(path.parent, folder)
        return core.read_model(path)


def _convert(model: keras.Model, path: Path) -> None:
    """Writes the network in OpenVINO's form.

    Keras' own export looks through every layer for tables and traces the graph several times: twice as long.
    """
    if keras.config.backend() != "tensorflow":
        model.export(str(path), format="openvino", verbose=False)
        return
    import tensorflow as tf

    ov = import_openvino()
    (given,) = model.inputs

    @tf.function(input_signature=[tf.TensorSpec(given.shape, given.dtype)], autograph=False)
    def answer(inputs: Any) -> Any:
        return model(inputs, training=False)

    # Not save_model, which would halve the precision of the weights.
    ov.serialize(ov.convert_model(answer.get_concrete_function()), path)


def _keep(made: Path, folder: Path) -> None:
    """Copies a network into its place, whole or not at all; where that fails it is converted again next time."""
    partial = folder.with_name(f".{folder.name}-{os.getpid()}.partial")
    with suppress(OSError):
        try:
            shutil.copytree(made, partial)
            (partial / DIGEST).write_text(_digest(partial), encoding="ascii")
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    prune_networks(folder.parent, LIMIT_BYTES, keep=folder)


def prune_networks(parent: Path, limit_bytes: int, keep: Path | None = None) -> int:
    """Removes kept networks, those used longest ago first, until the limit holds; returns the bytes removed."""
    found = []
    for folder in parent.glob("*/"):
        with suppress(OSError):  # another process may have removed it
            found.append((folder.stat().st_mtime_ns, folder, network_bytes(folder)))
    used, removed = sum(size for _, _, size in found), 0
    for _, folder, size in sorted(found):
        if used - removed <= limit_bytes:
            break
        if folder != keep:
            shutil.rmtree(folder, ignore_errors=True)
            removed += size
    return removed


def network_bytes(folder: Path) -> int:
    """Of all files below ``folder``: of one network, or of all."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob(f"{Path(NETWORK).stem}.*")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
