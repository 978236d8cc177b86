"""A frozen backbone is built once for a file of weights, and then only where something has to be computed."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from tiny import tinted_images

from graft.core.params.backbone_params import KerasBackboneParams
from graft.networks.backbones import build_backbone
from graft.networks.backbones.backbone import Backbone
from graft.networks.decode_images import DecodedImages
from graft.networks.engines.artifact_cache import keep
from graft.networks.engines.fastest import fastest_engine, openvino_engine
from graft.networks.engines.openvino_run import WORTH_CONVERTING, Run
from graft.networks.features import frozen_backbone as module
from graft.networks.features.feature_store import FeatureStore
from graft.networks.features.frozen_backbone import RECORD_FILE, FrozenBackbone, frozen_backbone

SIZE = 32


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A word for each backbone that is built."""
    built: list[str] = []

    def watched(params: KerasBackboneParams, *rest: object) -> Backbone:
        built.append(params.name)
        return build_backbone(params, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "build_backbone", watched)
    return built


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store", 10**9)


def write_weights(path: Path, seed: int) -> KerasBackboneParams:
    keras.utils.set_random_seed(seed)
    backbone = keras.applications.MobileNet(include_top=False, input_shape=(SIZE, SIZE, 3), weights=None)
    backbone.save_weights(path)
    return KerasBackboneParams(source="keras", name="MobileNet", weights=str(path))


@pytest.fixture
def params(tmp_path: Path) -> KerasBackboneParams:
    return write_weights(tmp_path / "mobilenet.weights.h5", 1)


def images(count: int = 5) -> DecodedImages:
    return DecodedImages(tinted_images(count, SIZE)[0])


def test_known_images_need_no_backbone_the_second_time(
    params: KerasBackboneParams, store: FeatureStore, tmp_path: Path, builds: list[str]
) -> None:
    first = frozen_backbone(params, SIZE, tmp_path, store)
    expected = first.features(images(), "x")
    assert builds == ["MobileNet"]
    second = frozen_backbone(params, SIZE, tmp_path, store)
    np.testing.assert_array_equal(second.features(images(), "x"), expected)
    assert (second.identity, second.feature_count) == (first.identity, first.feature_count)
    assert second.description == first.description
    assert second.weights_source == first.weights_source == "file given in params"
    assert second.parameter_count == first.built.model.count_params() > 1_000_000
    assert builds == ["MobileNet"]
    # What is not known has to be computed: it is built after all, once.
    more = second.features(images(8), "x")
    np.testing.assert_array_equal(more[:5], expected)
    second.features(images(9), "x")
    assert builds == ["MobileNet", "MobileNet"]
    assert not second.built.network.trainable


def test_new_images_need_no_backbone_where_its_network_is_kept(
    params: KerasBackboneParams, store: FeatureStore, tmp_path: Path, builds: list[str]
) -> None:
    first = frozen_backbone(params, SIZE, tmp_path, store)
    openvino_engine(first.built.model, store.network(first.network_description))
    second = frozen_backbone(params, SIZE, tmp_path, store)
    found = second.features(images(), "x", (2,))
    assert builds == ["MobileNet"]
    expected = FrozenBackbone.of(first.built).features(images(), "x", (2,))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_engine_for_many_images_is_opened_once_and_that_for_few_is_given_up(
    params: KerasBackboneParams, store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []

    def watched(model: keras.Model, count: int, *rest: object) -> Run:
        opened.append(count)
        return fastest_engine(model, count, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "fastest_engine", watched)
    backbone = FrozenBackbone.of(frozen_backbone(params, SIZE, tmp_path, store).built)  # keeps nothing
    few, many = images(), images(WORTH_CONVERTING + 3)
    expected = backbone.features(few, "x")
    backbone.features(many, "x")
    assert opened == [5, WORTH_CONVERTING + 3]
    backbone.features(many, "x")
    np.testing.assert_allclose(backbone.features(few, "x"), expected, rtol=1e-4, atol=1e-5)
    assert opened == [5, WORTH_CONVERTING + 3]


def test_other_weights_under_the_same_name_are_another_trunk(
    params: KerasBackboneParams, store: FeatureStore, tmp_path: Path, builds: list[str]
) -> None:
    before = frozen_backbone(params, SIZE, tmp_path, store).identity
    write_weights(Path(params.weights), 2)
    after = frozen_backbone(params, SIZE, tmp_path, store).identity
    assert builds == ["MobileNet"] * 2
    assert before["weights"] != after["weights"]
    assert before | {"weights": ""} == after | {"weights": ""}


@pytest.mark.parametrize("change", ["image size", "pooling", "precision"])
def test_what_is_asked_of_it_otherwise_is_another_record(
    params: KerasBackboneParams, store: FeatureStore, tmp_path: Path, builds: list[str], change: str
) -> None:
    frozen_backbone(params, SIZE, tmp_path, store)
    policy = keras.config.dtype_policy()
    try:
        if change == "precision":
            keras.config.set_dtype_policy("mixed_float16")
        size, pooling = 64 if change == "image size" else SIZE, "max" if change == "pooling" else "average"
        other = frozen_backbone(params, size, tmp_path, store, pooling)  # type: ignore[arg-type]
    finally:
        keras.config.set_dtype_policy(policy)
    assert builds == ["MobileNet"] * 2
    assert (other.pooling, other.identity["image_size"]) == (pooling, size)


def test_a_damaged_record_is_not_believed(
    params: KerasBackboneParams, store: FeatureStore, tmp_path: Path, builds: list[str]
) -> None:
    identity = frozen_backbone(params, SIZE, tmp_path, store).identity
    (record,) = store.networks.glob(f"*/{RECORD_FILE}")
    record.write_text(record.read_text().replace(identity["weights"][:8], "00000000"))
    assert frozen_backbone(params, SIZE, tmp_path, store).identity == identity
    assert builds == ["MobileNet"] * 2
    assert frozen_backbone(params, SIZE, tmp_path, store).identity == identity
    assert builds == ["MobileNet"] * 2


def test_a_record_that_is_removed_while_it_is_read_is_made_anew(
    params: KerasBackboneParams, store: FeatureStore, tmp_path: Path, builds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = frozen_backbone(params, SIZE, tmp_path, store).identity
    shutil.rmtree(store.networks)
    monkeypatch.setattr(module, "is_whole", lambda folder: True)
    assert frozen_backbone(params, SIZE, tmp_path, store).identity == identity
    assert builds == ["MobileNet"] * 2


def test_a_kept_network_that_does_not_run_leaves_the_images_to_keras(
    params: KerasBackboneParams, store: FeatureStore, tmp_path: Path
) -> None:
    backbone = frozen_backbone(params, SIZE, tmp_path, store)
    expected = FrozenBackbone.of(backbone.built).features(images(), "x")
    other = tmp_path / "other"
    other.mkdir()
    (other / "network.xml").write_text("<net/>")
    keep(other, store.network(backbone.network_description))
    np.testing.assert_allclose(backbone.features(images(), "x"), expected, rtol=1e-4, atol=1e-5)


def test_random_weights_are_others_each_time(store: FeatureStore, tmp_path: Path, builds: list[str]) -> None:
    none = KerasBackboneParams(source="keras", name="MobileNet", weights="none")
    digests = {frozen_backbone(none, SIZE, tmp_path, store).identity["weights"] for _ in range(2)}
    assert len(digests) == len(builds) == 2


def test_without_a_store_it_is_built(params: KerasBackboneParams, tmp_path: Path, builds: list[str]) -> None:
    for _ in range(2):
        assert frozen_backbone(params, SIZE, tmp_path).features(images(), "x").shape == (5, 1024)
    assert len(builds) == 2


def test_one_can_be_described_that_is_here_no_longer(
    params: KerasBackboneParams, store: FeatureStore, tmp_path: Path
) -> None:
    original = frozen_backbone(params, SIZE, tmp_path, store)
    expected = original.features(images(), "x")

    def gone() -> Backbone:
        raise AssertionError("built")

    again = FrozenBackbone.described(original.description, 1024, store, gone)
    assert again.description == original.description
    np.testing.assert_array_equal(again.features(images(), "x"), expected)
    with pytest.raises(AssertionError, match="built"):
        again.features(images(6), "x")


@pytest.mark.parametrize("mirrored", [(), (2,)], ids=["as they are", "mirrored"])
def test_depths_bring_the_features_of_the_top_along(
    params: KerasBackboneParams,
    store: FeatureStore,
    tmp_path: Path,
    builds: list[str],
    monkeypatch: pytest.MonkeyPatch,
    mirrored: tuple[int, ...],
) -> None:
    """What stage choose measures on all depths is not computed once more for a head on the top."""
    monkeypatch.setattr(module, "ROWS_AT_A_TIME", 2)
    depths = frozen_backbone(params, SIZE, tmp_path, store, "depths")
    found = depths.features(images(), "x", mirrored)
    assert found.shape[1] > depths.top_count == 1024
    average = frozen_backbone(params, SIZE, tmp_path, store)
    alone = frozen_backbone(params, SIZE, tmp_path, FeatureStore(tmp_path / "another", 10**9))
    np.testing.assert_allclose(found[:, :1024], alone.features(images(), "x", mirrored), rtol=1e-4, atol=1e-5)

    def fails(*arguments: object) -> Run:
        raise AssertionError("computed again")

    monkeypatch.setattr(FrozenBackbone, "_engine", fails)
    np.testing.assert_array_equal(average.features(images(), "x", mirrored), found[:, :1024])


def test_the_width_of_the_top_is_known_without_building(
    params: KerasBackboneParams, store: FeatureStore, tmp_path: Path, builds: list[str]
) -> None:
    first = frozen_backbone(params, SIZE, tmp_path, store, "depths")
    first.features(images(), "x")
    builds.clear()
    second = frozen_backbone(params, SIZE, tmp_path, store, "depths")
    second.features(images(), "x")
    assert (second.top_count, builds) == (1024, [])
