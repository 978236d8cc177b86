"""Extraction: each image is run through the network once, however often and by whomever it is asked for."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
from tiny import tinted_images

from graft.networks.decode_images import DecodedImages
from graft.networks.engines import fastest as engines
from graft.networks.features import compute as filling
from graft.networks.features.extract import extract, predict
from graft.networks.features.feature_store import FeatureStore


@pytest.fixture
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, keras.layers.Conv2D(4, 3, strides=2)(inputs))


class Watched(DecodedImages):
    """Counts which images were decoded."""

    def __init__(self, inputs: np.ndarray) -> None:
        super().__init__(inputs)
        self.decoded: list[int] = []

    def at(self, indices: np.ndarray) -> np.ndarray:
        self.decoded += indices.tolist()
        return super().at(indices)


def images(count: int) -> np.ndarray:
    return tinted_images(count, 8)[0]


def test_outputs_are_those_of_the_network_whatever_the_chunks(
    network: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "CHUNK", 7)
    monkeypatch.setattr(engines, "KERAS_BATCH", 3)
    found = extract(network, DecodedImages(images(20)), "test")
    np.testing.assert_allclose(found, network(images(20).astype(np.float32)), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(predict(network, images(20), "test"), found)


def test_a_second_time_nothing_is_decoded_and_one_new_image_costs_one(network: keras.Model, tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 10**9)
    first = extract(network, DecodedImages(images(20)), "test", store.space({"network": 1}))
    again = Watched(images(20))
    np.testing.assert_array_equal(extract(network, again, "test", store.space({"network": 1})), first)
    assert again.decoded == []
    grown = Watched(np.concatenate([images(20)[::-1], images(21)[20:]]))
    found = extract(network, grown, "test", store.space({"network": 1}))
    assert grown.decoded == [20]
    np.testing.assert_array_equal(found[:20], first[::-1])
    other = Watched(images(20))
    extract(network, other, "test", store.space({"network": 2}))
    assert sorted(other.decoded) == list(range(20))


def test_what_is_prepared_is_given_the_keys_of_its_images(network: keras.Model) -> None:
    shown = DecodedImages(images(10))
    seen: list[bytes] = []

    def darken(pixels: np.ndarray, keys: Sequence[bytes]) -> np.ndarray:
        seen.extend(keys)
        return pixels / 2

    found = extract(network, shown, "test", prepare=darken)
    assert seen == list(shown.keys)
    np.testing.assert_allclose(found, network(images(10) / 2), rtol=1e-5, atol=1e-5)


def test_outputs_can_be_put_into_a_part_of_an_array(network: keras.Model) -> None:
    whole = np.zeros((25, *network.output_shape[1:]), np.float32)
    extract(network, DecodedImages(images(5)), "test", out=whole[10:15])
    assert whole[10:15].any(axis=(1, 2, 3)).all()
    assert not whole[:10].any()
    assert not whole[15:].any()


def test_a_store_that_cannot_be_written_costs_nothing_but_the_next_time(network: keras.Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    space = FeatureStore(tmp_path / "file" / "store", 10**9).space({})
    found = extract(network, DecodedImages(images(5)), "test", space)
    np.testing.assert_allclose(found, network(images(5).astype(np.float32)), rtol=1e-5, atol=1e-5)
