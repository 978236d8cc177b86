"""The engine for a bundle: OpenVINO where it answers as the network did when it was written, else TensorFlow."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from tiny import tinted_images

from graft.bundle.model import ImageClassifier, SavedModelNetwork
from graft.bundle.record import read_settings, write_settings
from graft.bundle.trial import COUNT, require_agreement, trial_images
from graft.core.errors import GraftError
from graft.networks.engines import open_classifier as engine
from graft.networks.engines.open_classifier import OpenVinoNetwork, open_classifier
from graft.training.ensembles.ensemble_bundle import write_ensemble_bundle
from graft.training.write_bundle import write_bundle

CLASSES = ["a", "b", "c"]


def write(folder: Path, size: int = 16, seed: int = 0, temperature: float = 1.0) -> Path:
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((size, size, 3))
    maps = keras.layers.Conv2D(4, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(inputs))
    maps = keras.layers.BatchNormalization()(maps)
    logits = keras.layers.Dense(3, kernel_initializer="random_normal")(keras.layers.Flatten()(maps))
    write_bundle(keras.Model(inputs, 9 * logits), CLASSES, size, folder, temperature)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("bundle") / "model")


def engines_of(classifier: ImageClassifier) -> set[type]:
    return {type(part.network) for part in classifier.parts}


def test_openvino_answers_as_tensorflow_does(bundle: Path) -> None:
    images = tinted_images(21, 16)[0]
    found = open_classifier(bundle)
    assert engines_of(found) == {OpenVinoNetwork}
    expected = ImageClassifier(bundle)
    assert engines_of(expected) == {SavedModelNetwork}
    answers = found.probabilities({16: images})
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers, expected.probabilities({16: images}), atol=1e-5)
    assert found.probabilities({16: images[:0]}).shape == (0, 3)
    assert (found.classes, found.image_sizes, found.max_pixels) == (CLASSES, [16], expected.max_pixels)


def test_members_of_an_ensemble_each_have_their_engine(tmp_path: Path) -> None:
    members = {"one": (0.3, write(tmp_path / "1", 16, 1)), "two": (0.7, write(tmp_path / "2", 12, 2))}
    write_ensemble_bundle(members, tmp_path / "bundle")
    pixels = {size: tinted_images(5, size)[0] for size in (12, 16)}
    found = open_classifier(tmp_path / "bundle", 5)
    assert engines_of(found) == {OpenVinoNetwork}
    np.testing.assert_allclose(
        found.probabilities(pixels), ImageClassifier(tmp_path / "bundle").probabilities(pixels), atol=1e-5
    )


def test_the_temperature_is_in_the_graph(bundle: Path, tmp_path: Path) -> None:
    warm = write(tmp_path / "warm", temperature=2.5)
    images = tinted_images(6, 16)[0]
    cold_logits = np.log(ImageClassifier(bundle).probabilities({16: images}))
    warm_logits = np.log(ImageClassifier(warm).probabilities({16: images}))
    spread = [rows - rows.mean(axis=1, keepdims=True) for rows in (cold_logits, warm_logits)]
    np.testing.assert_allclose(spread[0], 2.5 * spread[1], rtol=1e-3, atol=1e-4)
    assert read_settings(warm)["temperature"] == 2.5


def test_it_needs_no_tensorflow(bundle: Path) -> None:
    code = (
        "import sys; sys.modules['tensorflow'] = None; sys.modules['keras'] = None\n"
        "import numpy as np; from pathlib import Path\n"
        "from graft.networks.engines.open_classifier import open_classifier\n"
        "c = open_classifier(Path(sys.argv[1])); print(c.probabilities({16: np.zeros((2, 16, 16, 3))}).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(bundle)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    expected = ImageClassifier(bundle).probabilities({16: np.zeros((2, 16, 16, 3))})
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1e-5)


def test_another_answer_than_was_written_is_not_trusted(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write(tmp_path / "other", seed=3)
    settings = read_settings(other)
    settings["answers"] = read_settings(bundle)["answers"]
    write_settings(other, settings)
    classifier = open_classifier(other)
    assert engines_of(classifier) == {SavedModelNetwork}
    assert "OpenVINO does not take this model over (answers are off by" in capsys.readouterr().out


def test_what_openvino_refuses_is_run_with_tensorflow(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(folder: Path, kind: type) -> None:
        raise RuntimeError("no such operation\nand a page more")

    monkeypatch.setattr(engine, "saved_model_run", refuse)
    assert engines_of(open_classifier(bundle)) == {SavedModelNetwork}
    text = capsys.readouterr().out
    assert "OpenVINO does not take this model over (no such operation): running it with TensorFlow" in text


@pytest.mark.parametrize(
    ("count", "sees_gpu", "used"),
    [
        (engine.WORTH_A_GPU, True, SavedModelNetwork),
        (None, True, SavedModelNetwork),
        (engine.WORTH_A_GPU - 1, True, OpenVinoNetwork),
        (None, False, OpenVinoNetwork),
    ],
)
def test_a_gpu_is_used_where_there_is_enough_to_do(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, count: int | None, sees_gpu: bool, used: type
) -> None:
    monkeypatch.setattr(engine, "GPU_DEVICE", bundle)  # there
    monkeypatch.setattr(engine, "_tensorflow_sees_gpu", lambda: sees_gpu)
    assert engines_of(open_classifier(bundle, count)) == {used}


def test_a_changed_bundle_is_a_sentence(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    graph = folder / "saved_model" / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(GraftError, match=r"saved_model.pb is not as it was written.*loads nothing"):
        open_classifier(folder)


def test_trial_images_are_the_same_everywhere() -> None:
    for size in (5, 6, 32, 224):
        images = trial_images(size)
        assert (images.shape, images.dtype) == ((COUNT, size, size, 3), np.uint8)
    # Known by heart: a bundle that was written with others would be refused by every engine.
    assert images[0, 0, 0].tolist() == [136, 131, 128]
    assert images[-1, 0, 0].tolist() == [165, 133, 213]
    assert int(trial_images(6).astype(np.int64).sum()) == 111_802
    assert np.ptp(images[0].astype(int)) < np.ptp(images[-1].astype(int)) / 5


def test_colours_in_another_order_are_noticed(bundle: Path) -> None:
    recorded = np.array(read_settings(bundle)["answers"])
    network = SavedModelNetwork(bundle)
    require_agreement(network(trial_images(16)), recorded)
    with pytest.raises(ValueError, match="answers are off by"):
        require_agreement(network(trial_images(16)[..., ::-1]), recorded)
    with pytest.raises(ValueError, match="off by nan"):
        require_agreement(np.full_like(recorded, np.nan), recorded)
