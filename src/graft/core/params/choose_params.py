"""Section `choose` of params.yaml: how long and among what stage choose measures, to fill in what says ``auto``."""

from typing import Annotated, Literal

from pydantic import Field

from graft.core.params.backbone_params import KerasBackboneParams
from graft.core.params.sections import Count, Section

Quality = Literal["fast", "good", "best"]


class ChooseParams(Section):
    """What is measured before anything is trained.

    Attributes:
        quality: ``fast`` measures one backbone at two sizes; ``good`` three backbones, more sizes, and mirror images;
            ``best`` all that graft knows.
        minutes: for measuring and training together, on this machine; ``auto``: 1, 4 or 20 by quality, and in
            proportion more for more than 3,000 images.
        backbones: to measure, the cheapest first; empty for those of the quality.
        sizes: in pixels a side; empty for those of the quality.
        max_images: of train and val that are measured on; with more of them, that many are drawn, whole groups.
        folds: of the cross-validation.
    """

    quality: Quality = "good"
    minutes: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"
    backbones: list[KerasBackboneParams] = Field(default=[])
    sizes: list[Annotated[int, Field(ge=32, le=1024)]] = Field(default=[])
    max_images: Annotated[int, Field(ge=50)] = 2000
    folds: Annotated[int, Field(ge=2, le=20)] = 5

    @property
    def most_members(self) -> Count:
        """Networks that a frozen model is made of at most."""
        return {"fast": 1, "good": 3, "best": 6}[self.quality]
