"""No trunk at all: the head works on the pixels themselves, ``head.hidden`` being the layers of the network."""

from __future__ import annotations

from typing import Any

from graft.core.errors import GraftError
from graft.core.params.strategy_params import ScratchParams


def build(images: Any, params: ScratchParams, seed: int) -> Any:
    """The images as they are.

    Raises:
        GraftError: the head pools: three means of colour are all that would be left of an image.
    """
    if params.head.pooling != "flatten":
        raise GraftError(
            f"The mlp works on flattened pixels, and head.pooling is '{params.head.pooling}'",
            "Set head: {pooling: flatten, hidden: [512, 512]} in params.yaml",
        )
    return images
