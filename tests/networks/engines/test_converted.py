"""Networks in OpenVINO's form: converted once, read afterwards, never believed when damaged."""

from pathlib import Path

import keras
import numpy as np
import pytest

from graft.networks.engines import conversion as converted
from graft.networks.engines.artifact_cache import cached_folder, is_cached, is_whole
from graft.networks.engines.fastest import fastest_engine, keras_engine, openvino_engine

INPUTS = np.random.default_rng(0).normal(size=(9, 4, 4, 3)).astype(np.float32)


@pytest.fixture
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4, 4, 3))
    return keras.Model(inputs, keras.layers.Conv2D(5, 3)(inputs))


def refuse_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(*arguments: object) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr(converted, "_convert", convert)


def test_a_kept_network_is_read_and_not_converted_again(
    network: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cached_folder(tmp_path / "networks", {"network": 1})
    assert not is_cached(folder)
    first = openvino_engine(network, folder)(INPUTS)
    assert is_cached(folder)
    refuse_conversion(monkeypatch)
    np.testing.assert_array_equal(openvino_engine(network, folder)(INPUTS), first)
    # A single new image is worth it too, now.
    np.testing.assert_array_equal(fastest_engine(network, 1, folder)(INPUTS), first)
    np.testing.assert_allclose(first, keras_engine(network)(INPUTS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["network.xml", "network.bin"])
def test_a_damaged_network_is_converted_anew(network: keras.Model, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "networks" / "one"
    expected = openvino_engine(network, folder)(INPUTS)
    damaged = bytearray((folder / name).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (folder / name).write_bytes(damaged)
    np.testing.assert_allclose(openvino_engine(network, folder)(INPUTS), expected, rtol=1e-5)
    assert is_whole(folder)


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_next_time(network: keras.Model, tmp_path: Path) -> None:
    (tmp_path / "networks").write_text("in the way")
    found = openvino_engine(network, tmp_path / "networks" / "one")(INPUTS)
    np.testing.assert_allclose(found, keras_engine(network)(INPUTS), rtol=1e-4, atol=1e-5)
