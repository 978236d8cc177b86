"""Plan what is measured: candidates, their order, and what each costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from graft.core.params.backbone_params import KerasBackboneParams
from graft.core.params.choose_params import ChooseParams, Quality
from graft.core.quotas import cores
from graft.networks.backbones import default_image_size

# Billions of multiply-adds for one image at the size that the weights were made for. MobileNetV2: Sandler et al. 2018;
# EfficientNet-Lite: its authors' table; ResNet50: He et al. 2015; Xception: Chollet 2017.
MULTIPLY_ADDS = {
    "MobileNetV2": 0.30,
    "EfficientNetLite0": 0.41,
    "EfficientNetLite1": 0.63,
    "EfficientNetLite2": 0.90,
    "ResNet50": 3.9,
    "Xception": 8.4,
}
UNKNOWN_MULTIPLY_ADDS = 5.0
# Billions of multiply-adds that OpenVINO does in a second of one core, and seconds of one core to read, decode and
# resize a photograph of 500 pixels: 1,399 cats and dogs take 16.6 s with MobileNetV2, 22.2 s with EfficientNet-Lite0
# (224 px) and 48.4 s with EfficientNet-Lite2 (260 px). They are constants, and not measured on the spot, so that
# equal data and settings choose the same model however busy the machine is; only its cores count.
SPEED = 28.0
DECODING_SECONDS = 0.003
# Of one candidate besides: building the network and converting it.
OVERHEAD_SECONDS = 4.0
# Seconds of one core for the two heads of a candidate on 2,000 images, and more for each class: 10 to 1,000 of them.
HEADS_SECONDS, HEADS_SECONDS_PER_CLASS, HEADS_IMAGES = 16.0, 0.1, 2000

# What is measured, the likely best for its cost first. EfficientNet-Lite2 at its own size helps photographs like
# ImageNet's most (ants and bees 94.1 to 96.1 %, cats and dogs 99.1 to 99.4 %), Lite0 at 160 px those unlike them (hands
# never seen: 85 to 96 % with all depths); Xception costs ten times as much and adds little.
_GOOD = (
    ("MobileNetV2", 224),
    ("EfficientNetLite0", 160),
    ("EfficientNetLite2", 260),
    ("MobileNetV2", 160),
    ("EfficientNetLite0", 224),
)
PLANS: dict[Quality, tuple[tuple[str, int], ...]] = {
    "fast": (("MobileNetV2", 224), ("MobileNetV2", 160)),
    "good": _GOOD,
    "best": (*_GOOD, ("EfficientNetLite2", 160), ("MobileNetV2", 96), ("EfficientNetLite0", 96), ("Xception", 299)),
}
USUAL = "MobileNetV2"
# More pixels than this many times an image's own side are interpolated, and show nothing new.
LARGEST_ENLARGEMENT = 8


@dataclass(frozen=True)
class Candidate:
    """A frozen network that answers for images of one size.

    Attributes:
        backbone: the network.
        image_size: S, in pixels a side.
        pooling: ``average`` over the top's map, or ``depths``: over maps at several depths.
        mirrored: whether features are the mean of those of the image and of its mirror image.
    """

    backbone: KerasBackboneParams
    image_size: int
    pooling: Literal["average", "depths"] = "average"
    mirrored: bool = False

    @property
    def name(self) -> str:
        """Return the candidate in words."""
        extras = [*(["all depths"] if self.pooling == "depths" else []), *(["mirrored"] if self.mirrored else [])]
        return ", ".join([f"{self.backbone.name} {self.image_size} px", *extras])

    @property
    def multiply_adds(self) -> float:
        """Return the billions of multiply-adds that one image takes."""
        own = MULTIPLY_ADDS.get(self.backbone.name, UNKNOWN_MULTIPLY_ADDS)
        scale = (self.image_size / default_image_size(self.backbone)) ** 2
        return own * scale * (2 if self.mirrored else 1)

    @property
    def rank(self) -> tuple[float, bool]:
        """Return the key that sorts candidates from the cheapest to the dearest."""
        return self.multiply_adds, self.pooling == "depths"

    def seconds(self, images: int) -> float:
        """Return the seconds that the features of so many images take on this machine's cores."""
        return images * (self.multiply_adds / SPEED + DECODING_SECONDS) / cores()

    @property
    def with_all_depths(self) -> Candidate:
        """Return the candidate with all depths."""
        return replace(self, pooling="depths")


def measuring_seconds(candidate: Candidate, images: int, classes: int) -> float:
    """Return the seconds that measuring takes: features, and heads on them by cross-validation."""
    heads = (HEADS_SECONDS + HEADS_SECONDS_PER_CLASS * classes) * (images / HEADS_IMAGES) ** 1.5
    return candidate.seconds(images) + OVERHEAD_SECONDS + heads / cores()


def plan(params: ChooseParams, default: KerasBackboneParams, median_side: float) -> list[Candidate]:
    """Return what is measured, in this order: the likely best first, so that little time is spent well.

    Args:
        params: names backbones and sizes, or leaves them to the quality.
        default: train.backbone; measured in the place of MobileNetV2.
        median_side: of the images' shorter sides, in pixels.
    """
    planned = PLANS[params.quality]
    if params.backbones or params.sizes:
        backbones = params.backbones or [_usual(name, default) for name in dict.fromkeys(name for name, _ in planned)]
        wanted = [
            Candidate(backbone, size)
            for size in params.sizes or dict.fromkeys(size for _, size in planned)
            for backbone in backbones
        ]
    else:
        wanted = [Candidate(_usual(name, default), size) for name, size in planned]
    smallest = min(wanted, key=lambda one: one.image_size)
    enough = [one for one in wanted if one.image_size <= LARGEST_ENLARGEMENT * median_side]
    return list(dict.fromkeys(enough or [smallest]))


def _usual(name: str, default: KerasBackboneParams) -> KerasBackboneParams:
    """Return a backbone by name; train.backbone stands where the plan has the usual one."""
    return default if name == USUAL else KerasBackboneParams(source="keras", name=name)
