"""Networks in OpenVINO's form: converted once, read afterwards, never believed when damaged."""

from __future__ import annotations

import os
from pathlib import Path

import keras
import numpy as np
import pytest

from graft.features import converted
from graft.features.converted import is_kept, network_bytes, network_folder, prune_networks
from graft.features.engines import fastest_engine, keras_engine, openvino_engine

INPUTS = np.random.default_rng(0).normal(size=(9, 4, 4, 3)).astype(np.float32)


@pytest.fixture
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4, 4, 3))
    return keras.Model(inputs, keras.layers.Conv2D(5, 3)(inputs))


def refuse_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    def export(*arguments: object, **options: object) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr(keras.Model, "export", export)


def test_a_kept_network_is_read_and_not_converted_again(
    network: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = network_folder(tmp_path / "networks", {"network": 1})
    assert not is_kept(folder)
    first = openvino_engine(network, folder)(INPUTS)
    assert is_kept(folder)
    refuse_conversion(monkeypatch)
    np.testing.assert_array_equal(openvino_engine(network, folder)(INPUTS), first)
    # A single new image is worth it too, now.
    np.testing.assert_array_equal(fastest_engine(network, 1, folder)(INPUTS), first)
    np.testing.assert_allclose(first, keras_engine(network)(INPUTS), rtol=1e-4, atol=1e-5)


def test_other_descriptions_are_other_networks(tmp_path: Path) -> None:
    assert network_folder(tmp_path, {"a": 1, "b": 2}) == network_folder(tmp_path, {"b": 2, "a": 1})
    assert network_folder(tmp_path, {"a": 1}) != network_folder(tmp_path, {"a": 2})


@pytest.mark.parametrize("name", ["network.xml", "network.bin"])
def test_a_damaged_network_is_converted_anew(network: keras.Model, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "networks" / "one"
    expected = openvino_engine(network, folder)(INPUTS)
    whole = (folder / name).read_bytes()
    damaged = bytearray(whole)
    damaged[len(damaged) // 2] ^= 1
    (folder / name).write_bytes(damaged)
    np.testing.assert_allclose(openvino_engine(network, folder)(INPUTS), expected, rtol=1e-5)
    assert len((folder / name).read_bytes()) == len(whole)
    assert converted._digest(folder) == (folder / "sha256").read_text()


def test_a_network_without_its_hash_is_converted_and_kept_anew(network: keras.Model, tmp_path: Path) -> None:
    folder = tmp_path / "networks" / "one"
    expected = openvino_engine(network, folder)(INPUTS)
    (folder / "sha256").unlink()
    np.testing.assert_allclose(openvino_engine(network, folder)(INPUTS), expected, rtol=1e-5)
    assert converted._digest(folder) == (folder / "sha256").read_text()


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_next_time(
    network: keras.Model, tmp_path: Path
) -> None:
    (tmp_path / "networks").write_text("in the way")
    found = openvino_engine(network, tmp_path / "networks" / "one")(INPUTS)
    np.testing.assert_allclose(found, keras_engine(network)(INPUTS), rtol=1e-4, atol=1e-5)


def test_those_used_longest_ago_go_first(network: keras.Model, tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(3)]
    for age, folder in enumerate(folders):
        openvino_engine(network, folder)
        os.utime(folder, (1000 + age, 1000 + age))
    openvino_engine(network, folders[0])  # used now
    size = network_bytes(folders[0])
    assert prune_networks(tmp_path, 2 * size) == size
    assert [is_kept(folder) for folder in folders] == [True, False, True]
    prune_networks(tmp_path, 0, keep=folders[2])
    assert [is_kept(folder) for folder in folders] == [False, False, True]
