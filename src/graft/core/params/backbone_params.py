"""Which pretrained network stands below a head."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graft.core.params.sections import OwnFile, Section


class KerasBackboneParams(Section):
    """A ``keras.applications`` model by name."""

    source: Literal["keras"]
    name: str = "MobileNetV2"
    weights: OwnFile = "imagenet"


class HubBackboneParams(Section):
    """A TensorFlow Hub image feature-vector module: a handle (https://...) or a local folder."""

    source: Literal["hub"]
    name: OwnFile


BackboneParams = Annotated[KerasBackboneParams | HubBackboneParams, Field(discriminator="source")]
