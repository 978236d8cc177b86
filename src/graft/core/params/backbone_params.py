"""The sources of pretrained networks in params.yaml: a class for each, which answers what is asked of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from graft.core.params.sections import OwnFile, Section


class SourceParams(Section):
    """Base of every source.

    Attributes:
        module: the file in ``graft.networks.backbones`` that makes its backbones; see
            :mod:`graft.networks.backbones` for the functions in it.
        words: what one is called in a sentence.
        no_layers: why training cannot reach its layers, in words; "" where its trunk is a Keras model. Without layers
            a trunk is trained whole or not at all, pooled as it is, on one device, and saved with its head.
    """

    module: ClassVar[str]
    words: ClassVar[str]
    no_layers: ClassVar[str] = ""

    def own_files(self) -> list[Path]:
        """Return the user's own files that it is made of, in order; their contents may change under their names."""
        raise NotImplementedError


class KerasBackboneParams(SourceParams):
    """A ``keras.applications`` model by name."""

    module: ClassVar[str] = "keras_applications"
    words: ClassVar[str] = "a keras backbone"

    source: Literal["keras"]
    name: str = "MobileNetV2"
    weights: OwnFile = "imagenet"

    def own_files(self) -> list[Path]:
        own = Path(self.weights).expanduser()
        return [own] if self.weights not in ("imagenet", "none") and own.is_file() else []


class HubBackboneParams(SourceParams):
    """A TensorFlow Hub image feature-vector module: a handle (https://...) or a local folder."""

    module: ClassVar[str] = "hub_module"
    words: ClassVar[str] = "a Hub module"
    no_layers: ClassVar[str] = "a Hub module is a SavedModel, which has no layers to start from"

    source: Literal["hub"]
    name: OwnFile

    def own_files(self) -> list[Path]:
        own = [] if "://" in self.name else sorted(Path(self.name).expanduser().rglob("*"))
        return [path for path in own if path.is_file()]


BackboneParams = Annotated[KerasBackboneParams | HubBackboneParams, Field(discriminator="source")]
SOURCES: tuple[type[SourceParams], ...] = get_args(get_args(BackboneParams)[0])
TRAIN_IT_WHOLE = "Set unfreeze: all, or use the same network as a keras backbone"
