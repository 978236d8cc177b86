"""Convert networks to OpenVINO's form: converting takes seconds, reading a cached one a tenth of a second."""

import warnings
from pathlib import Path
from typing import Any

import keras

from graft.networks.engines.artifact_cache import cached_or_made, is_whole
from graft.networks.engines.openvino_run import NETWORK, import_openvino
from graft.networks.engines.trace import inference_graph


def cached_network(core: Any, folder: Path | None) -> Any | None:
    """Return the network cached in a folder, see :mod:`.artifact_cache`, as OpenVINO's; None where none is whole."""
    if folder is None or not is_whole(folder):
        return None
    return core.read_model(folder / NETWORK)


def openvino_network(core: Any, model: keras.Model, folder: Path | None) -> Any:
    """Return the network as OpenVINO's: read from ``folder``, or converted and cached there; None caches nothing.

    Raises:
        Exception: OpenVINO cannot take the network over; of whatever kind its converter raises.
    """

    def convert(made: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Keras' exporter, about what does not concern the user
            _convert(model, made / NETWORK)

    return cached_or_made(folder, convert, lambda found: core.read_model(found / NETWORK))


def _convert(model: keras.Model, path: Path) -> None:
    """Write the network in OpenVINO's form."""
    ov = import_openvino()
    # Not save_model, which would halve the precision of the weights.
    ov.serialize(ov.convert_model(inference_graph(model)), path)
