"""Backbones from ONNX files: frozen networks such as DINOv2, SigLIP and whatever timm exports.

The file says what its input and outputs are; params say how its pixels are scaled, which no file does. ONNX Runtime
has to come to the same features from the file as graft does, before anything is trained on them.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx

from graft.bundle.trial import trial_images
from graft.core.errors import GraftError, did_you_mean, first_line
from graft.core.files import sha256_of
from graft.core.outside import own_path
from graft.core.params.backbone_params import OnnxBackboneParams
from graft.core.params.strategy_params import Pooling
from graft.networks.backbones.backbone import Backbone, weights_digest
from graft.networks.backbones.onnx_graph import OnnxNetwork, free_inputs

# Between features by ONNX Runtime and by TensorFlow, of the largest: sums of float32 in another order differ by 1e-5,
# an operation that is taken for another by far more.
TOLERANCE = 1e-3
# Of the trial images; one at a time by ONNX Runtime, together by TensorFlow.
COMPARED = 2

_FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}


def build(params: OnnxBackboneParams, image_size: int, cache: Path, pooling: Pooling = "average") -> Backbone:
    """Return the backbone of an ONNX file, whose tokens or map are pooled as ``params`` say.

    Raises:
        GraftError: there is no such file, it is no network of one image, takes images of another size, holds what
            graft cannot run, or answers otherwise than ONNX Runtime says.
    """
    file = _OnnxFile(params)
    if file.size not in (None, image_size):
        raise GraftError(
            f"The ONNX file {file.path} takes images of {file.size}x{file.size} pixels, and image_size is {image_size}",
            f"Set image_size: {file.size}, or auto, in params.yaml",
        )
    shape = (None, image_size, image_size, 3) if file.is_channels_last else (None, 3, image_size, image_size)
    network = OnnxNetwork(file.model, file.output, shape, file.path, name="onnx_network")
    inputs = keras.Input((image_size, image_size, 3), dtype="float32", name="image")
    mean, deviation = params.mean_and_deviation
    scaled = keras.layers.Rescaling(
        [1 / (255 * one) for one in deviation],
        [-middle / one for middle, one in zip(mean, deviation, strict=True)],
        dtype="float32",
        name="input_scaling",
    )(inputs)
    if not file.is_channels_last:
        scaled = keras.layers.Permute((3, 1, 2), dtype="float32", name="channels_first")(scaled)
    model = keras.Model(inputs, _pooled(network(scaled), file, params), name="backbone")
    _require_agreement(file, network, keras.Model(inputs, scaled), image_size)
    return Backbone(
        name=params.name,
        model=model,
        scaled=scaled,
        network=network,
        image_size=image_size,
        weights_source="ONNX file given in params",
        weights_digest=weights_digest(network.weights),
        graph_digest=_graph_digest(params),
    )


def weights_files(params: OnnxBackboneParams, cache: Path) -> list[Path]:
    """Return the file, and those beside it that hold its weights."""
    return params.own_files()


def default_image_size(params: OnnxBackboneParams) -> int:
    """Return the pixels a side that the file's input says.

    Raises:
        GraftError: there is no such file, it is no network of one image, or takes images of any size.
    """
    file = _OnnxFile(params)
    if file.size is None:
        raise GraftError(
            f"The ONNX file {file.path} takes images of any size and does not say which it was made for",
            "Set image_size in params.yaml to what its page says (224 for most)",
        )
    return file.size


@dataclass(frozen=True)
class _OnnxFile:
    """A file, and what its inputs and outputs say."""

    params: OnnxBackboneParams

    @property
    def path(self) -> Path:
        return own_path(self.params.name)

    @cached_property
    def model(self) -> Any:
        """The network, with its weights."""
        if not self.path.is_file():
            raise GraftError(
                f"There is no ONNX file {self.params.name}", "Correct name under the backbone in params.yaml"
            )
        try:
            model = onnx.load(self.path, load_external_data=False)
            outside = _outside(model)
        except Exception as error:
            # Protobuf's, of what is no ONNX file; it takes some other files for an empty one.
            raise self._unread(first_line(error)) from error
        if not model.graph.node or not model.graph.output:
            raise self._unread("it holds no network")
        if not all(isinstance(name, str) for name in _names(model.graph)):
            raise self._unread("it has names that are not text in UTF-8")  # protobuf gives them as bytes
        if unknown := sorted(outside - {path.name for path in self.params.own_files()}):
            raise GraftError(
                f"The ONNX file {self.path} keeps weights in the file '{unknown[0]}', which is not beside it or not "
                "named after it",
                f"Put it there, or save the network anew with its weights in {self.path.name}.data",
            )
        try:
            onnx.load_external_data_for_model(model, str(self.path.parent))
        except Exception as error:  # of a file that is cut off
            raise self._unread(first_line(error)) from error
        return onnx.inliner.inline_local_functions(model) if model.functions else model

    def _unread(self, why: str) -> GraftError:
        return GraftError(f"{self.path} is no ONNX file that can be read: {why}", "Export or fetch the network again")

    @cached_property
    def _sides(self) -> tuple[int | None, ...]:
        """The input's axes: a number, or None where any is taken."""
        inputs = free_inputs(self.model)
        if len(inputs) != 1:
            raise GraftError(
                f"The ONNX file {self.path} has {len(inputs)} inputs ({', '.join(inputs)}), and a backbone is given "
                "an image alone",
                "Export the image part of the network by itself",
            )
        (value,) = (one for one in self.model.graph.input if one.name == inputs[0])
        kind = value.type.tensor_type
        sides = _sizes(value)
        if len(sides) != 4 or kind.elem_type not in _FLOATS or 3 not in _or_any(sides[1], sides[3]):
            name = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
            raise GraftError(
                f"The input '{inputs[0]}' of the ONNX file {self.path} is {name} {_words(sides)}, not an image: float "
                "[N, 3, H, W] or [N, H, W, 3]",
                "Use a network that is given an image in colour",
            )
        return sides

    @property
    def is_channels_last(self) -> bool:
        """Whether images are ``[N, H, W, 3]``. Where any number of channels is taken, PyTorch's exporter wrote it."""
        return self._sides[1] not in (3, None) or (self._sides[1] is None and self._sides[3] == 3)

    @property
    def size(self) -> int | None:
        """Pixels a side of the images; None where any size is taken."""
        sides = self._sides[1:3] if self.is_channels_last else self._sides[2:4]
        found = {side for side in sides if side is not None}
        if len(found) > 1:
            raise GraftError(
                f"The ONNX file {self.path} takes images of {sides[0]}x{sides[1]} pixels, and graft's are square",
                "Export the network for square images",
            )
        return next(iter(found), None)

    @cached_property
    def output(self) -> str:
        """Name of the output that is taken."""
        names = [value.name for value in self.model.graph.output]
        wanted = self.params.output
        if wanted is None and len(names) > 1:
            listed = ", ".join(f"{value.name} {_words(_sizes(value))}" for value in self.model.graph.output)
            raise GraftError(
                f"The ONNX file {self.path} has {len(names)} outputs: {listed}",
                f"Set output: under the backbone in params.yaml, for example output: {names[0]}",
            )
        if wanted is not None and wanted not in names:
            raise GraftError(f"The ONNX file {self.path} has no output '{wanted}'", did_you_mean(wanted, names))
        return wanted or names[0]


def _sizes(value: Any) -> tuple[int | None, ...]:
    return tuple(side.dim_value or None for side in value.type.tensor_type.shape.dim)


def _words(sizes: tuple[Any, ...]) -> str:
    return "[" + ", ".join("any" if size is None else str(size) for size in sizes) + "]"


def _or_any(*sides: Any) -> set[int]:
    return {3 if side is None else side for side in sides}


def _names(graph: Any) -> Iterator[Any]:
    """Yield the names by which a graph's parts are connected."""
    yield from (one.name for one in (*graph.input, *graph.output, *graph.initializer))
    yield from (name for node in graph.node for name in (*node.input, *node.output, node.op_type))


def _outside(model: Any) -> set[str]:
    """Return names of the files that hold weights beside the network's own."""
    tensors = onnx.external_data_helper._get_all_tensors(model)
    return {
        entry.value
        for tensor in tensors
        if onnx.external_data_helper.uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }


def _pooled(features: Any, file: _OnnxFile, params: OnnxBackboneParams) -> Any:
    """Return vectors ``[N, D]`` of vectors, tokens ``[N, T, D]``, or a map ``[N, C, H, W]`` or ``[N, H, W, C]``."""
    shape = features.shape
    if len(shape) not in (2, 3, 4) or None in shape[1:]:
        raise GraftError(
            f"The output '{file.output}' of the ONNX file {file.path} has the shape {_words(('N', *shape[1:]))}; "
            "features are [N, D], tokens [N, T, D] or a map [N, C, H, W]",
            "Set output: under the backbone to another one, or export the network without what follows its features",
        )
    if len(shape) == 2:
        return features
    if len(shape) == 4:
        order = "channels_last" if file.is_channels_last else "channels_first"
        axes = (1, 2) if order == "channels_last" else (2, 3)
        return keras.ops.mean(features, axes)
    if params.tokens == "mean":
        return keras.ops.mean(features, 1)
    if shape[1] > 1 and np.sqrt(shape[1]) % 1 == 0:
        raise GraftError(
            f"The output '{file.output}' of the ONNX file {file.path} has {shape[1]} tokens, a square of patches "
            "without a class token",
            "Set tokens: mean under the backbone in params.yaml",
        )
    return features[:, 0]


def _require_agreement(file: _OnnxFile, network: OnnxNetwork, scaling: keras.Model, image_size: int) -> None:
    """Raise a GraftError where ONNX Runtime makes other features of the file than the backbone does."""
    import onnxruntime

    images = np.asarray(scaling(trial_images(image_size)[-COMPARED:].astype(np.float32)))
    try:
        session = onnxruntime.InferenceSession(str(file.path), providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        kind = np.float16 if given.type == "tensor(float16)" else np.float32
        outputs = [session.run([file.output], {given.name: images[[row]].astype(kind)})[0] for row in range(COMPARED)]
        expected = np.concatenate(outputs).astype(np.float32)
    except Exception as error:
        # It raises all kinds, for example where a shape does not fit.
        raise GraftError(
            f"ONNX Runtime does not run the ONNX file {file.path}: {first_line(error)}",
            "Export the network anew, for images of this size or of any",
        ) from error
    found = np.asarray(network(images))
    off = float(np.abs(found - expected).max()) if found.shape == expected.shape else np.inf
    if not off <= TOLERANCE * max(float(np.abs(expected).max()), 1e-30):  # nor is nan
        raise GraftError(
            f"What graft makes of images with the ONNX file {file.path} is not what ONNX Runtime makes: off by "
            f"{off:.2g}, of {np.abs(expected).max():.2g} at most",
            "Export the network with a free first axis (dynamic_axes={'input': {0: 'N'}} of torch.onnx.export) and "
            "opset 17, without training mode",
        )


def _graph_digest(params: OnnxBackboneParams) -> str:
    """Return the SHA-256 of the files and of what else decides the features."""
    described = {
        "files": [sha256_of(path) for path in params.own_files()],
        "settings": params.model_dump(exclude={"name"}),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
