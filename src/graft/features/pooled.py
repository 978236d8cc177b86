"""A whole backbone's features: one vector per image, which heads, duplicate search and label checks share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graft.backbones.backbone import Backbone
from graft.features.extraction import extract
from graft.features.store import FeatureStore, Space
from graft.params.strategies import Pooling
from graft.training.images import KeyedImages


def describe_features(backbone: Backbone, pooling: Pooling, mirrored: tuple[int, ...] = ()) -> dict[str, Any]:
    """What the space of a backbone's features is named by: all that decides them, JSON-ready."""
    return {**backbone.identity, "part": "features", "pooling": pooling, "mirrored": list(mirrored)}


def describe_network(features: Mapping[str, Any]) -> dict[str, Any]:
    """What the network is named by that makes the features of this description: mirroring is before it."""
    return {name: value for name, value in features.items() if name != "mirrored"}


def pooled_space(
    backbone: Backbone, store: FeatureStore, pooling: Pooling, mirrored: tuple[int, ...] = ()
) -> Space:
    """Where a backbone's features are kept; arguments as for :func:`pooled_features`."""
    what = f"features, {pooling}" + (", mirrored" if mirrored else "")
    return store.space(describe_features(backbone, pooling, mirrored), what)


def pooled_features(
    backbone: Backbone,
    images: KeyedImages,
    label: str,
    store: FeatureStore | None,
    pooling: Pooling = "average",
    mirrored: tuple[int, ...] = (),
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Features float32 ``[N, D]``, each computed once and kept in ``store``.

    Args:
        backbone: built with ``pooling``.
        images: see :func:`graft.features.extraction.extract`, as ``label``.
        label: what the progress bar calls it.
        store: None keeps nothing.
        pooling: as the backbone was built.
        mirrored: axes of ``[N, S, S, 3]`` along which the images are mirrored first.
        out: where to put the features instead of a new array.
    """
    space = pooled_space(backbone, store, pooling, mirrored) if store else None
    mirror = (lambda pixels, keys: np.flip(pixels, mirrored)) if mirrored else None
    network = describe_network(describe_features(backbone, pooling))
    kept = store.network(network) if store else None
    return extract(backbone.model, images, label, space, mirror, out, kept)
