"""The sources of pretrained networks in params.yaml: a class for each, which answers what is asked of it."""

from glob import escape
from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from graft.core.outside import own_path
from graft.core.params.sections import OwnFile, Section


class BackboneSourceParams(Section):
    """Base of every source.

    Attributes:
        module: the file in ``graft.networks.backbones`` that makes its backbones; see
            :mod:`graft.networks.backbones` for the functions in it.
        words: what one is called in a sentence.
        no_layers: why training cannot reach its layers, in words; "" where it is a Keras model. Without layers
            a backbone is trained whole or not at all, pooled as it is, on one device, and saved with its head.
        is_frozen: whether it cannot be trained at all.
    """

    module: ClassVar[str]
    words: ClassVar[str]
    no_layers: ClassVar[str] = ""
    is_frozen: ClassVar[bool] = False

    def own_files(self) -> list[Path]:
        """Return the user's own files that it is made of, in order; their contents may change under their names."""
        raise NotImplementedError


class KerasBackboneParams(BackboneSourceParams):
    """A ``keras.applications`` model by name."""

    module: ClassVar[str] = "keras_applications"
    words: ClassVar[str] = "a keras backbone"

    source: Literal["keras"]
    name: str = "MobileNetV2"
    weights: OwnFile = "imagenet"

    def own_files(self) -> list[Path]:
        own = own_path(self.weights)
        return [own] if self.weights not in ("imagenet", "none") and own.is_file() else []


class HubBackboneParams(BackboneSourceParams):
    """A TensorFlow Hub image feature-vector module: a handle (https://...) or a local folder."""

    module: ClassVar[str] = "hub_module"
    words: ClassVar[str] = "a Hub module"
    no_layers: ClassVar[str] = "a Hub module is a SavedModel, which has no layers to start from"

    source: Literal["hub"]
    name: OwnFile

    def own_files(self) -> list[Path]:
        return _files_below(self.name)


class KerasHubBackboneParams(BackboneSourceParams):
    """A Keras Hub preset: its name, a handle (kaggle://..., hf://...) or a local preset folder."""

    module: ClassVar[str] = "keras_hub_preset"
    words: ClassVar[str] = "a Keras Hub preset"

    source: Literal["keras_hub"]
    name: OwnFile

    def own_files(self) -> list[Path]:
        return _files_below(self.name)


class MeanAndDeviation(Section):
    """Mean and deviation that scale pixels in 0..1, as ``(pixel - mean) / std``, for red, green and blue."""

    mean: Annotated[list[float], Field(min_length=3, max_length=3)]
    std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=3, max_length=3)]


class OnnxBackboneParams(BackboneSourceParams):
    """A frozen network as an ONNX file, such as DINOv2, SigLIP or an export of timm.

    Attributes:
        name: the file; weights beside it are in files whose names begin with its name.
        scaling: of the pixels, as its page says: ``imagenet`` (timm, DINOv2) and ``clip`` by their mean and deviation,
            ``-1..1`` (SigLIP), ``0..1``, ``0..255``, or ``{mean: [...], std: [...]}`` of pixels in 0..1.
        output: name of the one that is taken, where the file has several.
        tokens: of an output ``[N, T, D]``, the first (``cls``) or the ``mean`` of all are the features.
    """

    module: ClassVar[str] = "onnx_file"
    words: ClassVar[str] = "an ONNX file"
    no_layers: ClassVar[str] = "an ONNX file is a frozen network, which has no layers to start from"
    is_frozen: ClassVar[bool] = True

    source: Literal["onnx"]
    name: OwnFile
    scaling: Literal["imagenet", "clip", "-1..1", "0..1", "0..255"] | MeanAndDeviation
    output: str | None = None
    tokens: Literal["cls", "mean"] = "cls"

    def own_files(self) -> list[Path]:
        file = own_path(self.name)
        return [path for path in (file, *sorted(file.parent.glob(f"{escape(file.name)}?*"))) if path.is_file()]

    @property
    def mean_and_deviation(self) -> tuple[list[float], list[float]]:
        """Mean and deviation of pixels in 0..1, a number for red, green and blue each."""
        found = self.scaling if isinstance(self.scaling, MeanAndDeviation) else SCALINGS[self.scaling]
        return found.mean, found.std


def _files_below(name: str) -> list[Path]:
    """Return the files in a folder of the user's own, in order; none where ``name`` is no folder here."""
    below = [] if "://" in name else sorted(own_path(name).rglob("*"))
    return [path for path in below if path.is_file()]


# As timm (data/constants.py) and OpenAI's CLIP (clip/clip.py) have them.
SCALINGS = {
    "imagenet": MeanAndDeviation(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    "clip": MeanAndDeviation(mean=[0.48145466, 0.4578275, 0.40821073], std=[0.26862954, 0.26130258, 0.27577711]),
    "-1..1": MeanAndDeviation(mean=[0.5] * 3, std=[0.5] * 3),
    "0..1": MeanAndDeviation(mean=[0.0] * 3, std=[1.0] * 3),
    "0..255": MeanAndDeviation(mean=[0.0] * 3, std=[1 / 255] * 3),
}
BackboneParams = Annotated[
    KerasBackboneParams | HubBackboneParams | OnnxBackboneParams | KerasHubBackboneParams, Field(discriminator="source")
]
SOURCES: tuple[type[BackboneSourceParams], ...] = get_args(get_args(BackboneParams)[0])
TRAIN_IT_WHOLE = "Set unfreeze: all, or use the same network as a keras backbone"
