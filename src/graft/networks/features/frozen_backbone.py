"""A backbone as nothing has trained it: one vector per image, which heads, duplicate search and label checks share.

It is built no sooner than something has to be computed that the feature store lacks. The record of a backbone, and
its network in OpenVINO's form, lie beside its features, so that training another head on the same images builds none.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from graft.core.cluster import gpus_of_cluster
from graft.core.files import sha256_of
from graft.core.params.backbone_params import BackboneParams
from graft.core.params.strategy_params import Pooling
from graft.networks.backbones import build_backbone, weights_files
from graft.networks.backbones.backbone import Backbone
from graft.networks.code_identity import building_identity
from graft.networks.decode_images import KeyedImages, large_array
from graft.networks.engines.artifact_cache import is_whole, keep
from graft.networks.engines.devices import whole_float32
from graft.networks.engines.fastest import cached_engine, fastest_engine, keras_engine
from graft.networks.engines.openvino_run import WORTH_CONVERTING, Run
from graft.networks.features.compute import fill
from graft.networks.features.compute_on_cluster import Remote
from graft.networks.features.extract import cached_remote
from graft.networks.features.feature_store import FeatureStore, Space

RECORD_FILE = "trunk.json"
# What a record says is written down in this form; another form is another record.
FORMAT = 2
# Rows that are copied at a time, so that memory stays what it is however many images there are.
ROWS_AT_A_TIME = 4096


class FrozenBackbone:
    """A backbone, its pooling, and the store of its features.

    Args:
        identity: see :attr:`graft.networks.backbones.backbone.Backbone.identity`.
        pooling: as ``build`` builds it.
        store: None keeps nothing.
        build: the backbone; called once, when it is needed.
        record: facts of it that need no build: weights_source, parameter_count and top_count, see below.
    """

    def __init__(
        self,
        identity: Mapping[str, Any],
        feature_count: int,
        pooling: Pooling,
        store: FeatureStore | None,
        build: Callable[[], Backbone],
        record: Mapping[str, Any] | None = None,
    ) -> None:
        self.identity = dict(identity)
        self.feature_count = feature_count
        self.pooling = pooling
        self.store = store
        self._build = build
        self._run: Run | None = None
        self._record = record or {}

    @classmethod
    def of(cls, backbone: Backbone, store: FeatureStore | None = None, pooling: Pooling = "average") -> FrozenBackbone:
        """Return the frozen form of a backbone that is built already."""
        return cls(backbone.identity, backbone.feature_count, pooling, store, lambda: backbone)

    @classmethod
    def described(
        cls,
        description: Mapping[str, Any],
        feature_count: int,
        store: FeatureStore | None,
        build: Callable[[], Backbone],
    ) -> FrozenBackbone:
        """Return the frozen backbone with this :attr:`description`; what built it may be there no longer."""
        rest = ("part", "pooling", "mirrored")
        identity = {name: value for name, value in description.items() if name not in rest}
        return cls(identity, feature_count, description["pooling"], store, build)

    @cached_property
    def built(self) -> Backbone:
        """The backbone; raises as :func:`graft.networks.backbones.build_backbone` does."""
        return self._build()

    @property
    def weights_source(self) -> str:
        """The source of the weights, when the backbone was first built here."""
        return str(self._record.get("weights_source") or self.built.weights_source)

    @property
    def parameter_count(self) -> int:
        """Numbers in its weights."""
        return int(self._record.get("parameter_count") or self.built.model.count_params())

    @property
    def top_count(self) -> int:
        """Features of the top alone, which stand first where ``pooling`` is ``depths``."""
        return int(self._record.get("top_count") or self.built.network.output_shape[-1])

    @property
    def network_description(self) -> dict[str, Any]:
        """All that decides what it makes of pixels, JSON-ready."""
        return {**self.identity, "part": "features", "pooling": self.pooling}

    @property
    def description(self) -> dict[str, Any]:
        """All that decides the features of images as they are, JSON-ready."""
        return self._features_of(())

    def _features_of(self, mirrored: tuple[int, ...]) -> dict[str, Any]:
        return {**self.network_description, "mirrored": list(mirrored)}

    def space(self, mirrored: tuple[int, ...] = ()) -> Space:
        """Return the store's space for its features; ``mirrored`` as :meth:`features` takes it."""
        assert self.store is not None
        what = f"features, {self.pooling}" + (", mirrored" if mirrored else "")
        return self.store.space(self._features_of(mirrored), what)

    def features(
        self, images: KeyedImages, label: str, mirrored: tuple[int, ...] = (), out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the features float32 ``[N, D]`` of images in order, each computed once.

        Args:
            images: see :func:`graft.networks.features.extract.extract`, as ``label``.
            mirrored: axes of ``[N, S, S, 3]`` along which the images are mirrored first.
            out: where to put the features instead of a new array.

        Raises:
            GraftError: as :func:`graft.networks.features.extract.extract`, or as building the backbone does.
        """
        shape = (len(images), self.feature_count)
        features = large_array(shape, np.float32) if out is None else out
        mirror = partial(_mirrored, mirrored) if mirrored else None
        space = self.space(mirrored) if self.store else None
        fill(features, self._engine, images, label, space, mirror, self._remote)
        if self.store and self.pooling == "depths":
            self._keep_top(images, features, mirrored)
        return features

    def _keep_top(self, images: KeyedImages, features: np.ndarray, mirrored: tuple[int, ...]) -> None:
        """Keep the features of the top as those of this backbone pooled by ``average``, which they are."""
        top = FrozenBackbone(self.identity, self.top_count, "average", self.store, self._build).space(mirrored)
        new = [row for row, key in enumerate(images.keys) if key not in top]
        for start in range(0, len(new), ROWS_AT_A_TIME):
            rows = new[start : start + ROWS_AT_A_TIME]
            top.write([images.keys[row] for row in rows], features[rows, : self.top_count])

    def _remote(self) -> Remote | None:
        """Return how it comes to Ray's nodes: built there where they have GPUs, else as it is cached here."""
        if gpus_of_cluster():
            return Remote(partial(_built_there, self._build), 1)
        cached = self.store.network(self.network_description) if self.store else None
        return cached_remote(cached, np.uint8)

    def _engine(self, count: int) -> Run:
        """Return the engine for ``count`` images; the one for many is opened once, and takes few as well."""
        if self._run is not None:
            return self._run
        cached = self.store.network(self.network_description) if self.store else None
        run = cached_engine(cached, count, np.uint8) if cached else None
        if run is None:
            run = fastest_engine(self.built.model, count, cached, np.uint8)
            if count < WORTH_CONVERTING:
                return run
        self._run = run
        return run


def _mirrored(axes: tuple[int, ...], pixels: np.ndarray, _: Sequence[bytes]) -> np.ndarray:
    return np.flip(pixels, axes)


def _built_there(build: Callable[[], Backbone]) -> Run:
    """Return the engine of a backbone that an actor builds for itself."""
    whole_float32()
    return keras_engine(build().model)


def frozen_backbone(
    params: BackboneParams,
    image_size: int,
    cache: Path,
    store: FeatureStore | None = None,
    pooling: Pooling = "average",
) -> FrozenBackbone:
    """Return the backbone that ``params`` names: as it was recorded in the store when it was built, or built now.

    A record is of the very bytes of the weights, and of the code that builds; a backbone with random weights, or one
    that TensorFlow Hub keeps, has none.

    Raises:
        GraftError: as :func:`graft.networks.backbones.build_backbone`.
    """

    def build() -> Backbone:
        backbone = build_backbone(params, image_size, cache, pooling)
        backbone.network.trainable = False
        return backbone

    def record_folder() -> Path | None:
        files = weights_files(params, cache)
        if store is None or not files:
            return None
        return store.artifact_folder(
            {
                "format": FORMAT,
                "trunk": params.model_dump(),
                "image_size": image_size,
                "pooling": pooling,
                "files": [sha256_of(path) for path in files],
                "precision": keras.config.dtype_policy().name,
                "code": building_identity(),
            }
        )

    folder = record_folder()
    with suppress(OSError):  # removed since it was looked at
        if folder is not None and is_whole(folder):
            record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
            return FrozenBackbone(record["identity"], record["feature_count"], pooling, store, build, record)
    backbone = build()
    frozen = FrozenBackbone.of(backbone, store, pooling)
    # Asked again: building may have brought the weights.
    if (folder := record_folder()) is not None:
        record = {
            "identity": frozen.identity,
            "feature_count": frozen.feature_count,
            "weights_source": frozen.weights_source,
            "parameter_count": frozen.parameter_count,
        }
        if pooling == "depths":
            record["top_count"] = frozen.top_count
        with tempfile.TemporaryDirectory() as made:
            (Path(made) / RECORD_FILE).write_text(json.dumps(record, indent=1), encoding="utf-8")
            keep(Path(made), folder)
    return frozen
