"""A bundle as it is served: every way to the same answer, and errors that name the position."""

import base64
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import graft.bundle
from graft.bundle.model import BATCH, ImageClassifier, _load_pyfunc
from graft.bundle.trial import trial_images

CLASSES = ["red", "green", "blue"]
SIZE = 12


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of the brightest channel."""
    import keras

    from graft.training.write_bundle import write_bundle

    inputs = keras.Input((SIZE, SIZE, 3), name="image")
    means = keras.layers.GlobalAveragePooling2D()(inputs)
    logits = keras.layers.Rescaling(1 / 25)(means)
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(keras.Model(inputs, logits), CLASSES, SIZE, folder)
    return folder


@pytest.fixture(scope="module")
def classifier(bundle: Path) -> ImageClassifier:
    return ImageClassifier(bundle)


def picture(channel: int, width: int = 20, height: int = 14) -> np.ndarray:
    pixels = np.random.default_rng(channel).integers(0, 100, (height, width, 3)).astype(np.uint8)
    pixels[..., channel] += 100
    return pixels


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_the_folder_says_what_it_is(bundle: Path) -> None:
    settings = json.loads((bundle / "model.json").read_text())
    answers = settings.pop("answers")
    assert sorted(settings.pop("files")) == sorted(
        path.relative_to(bundle).as_posix() for path in bundle.rglob("saved_model/**/*") if path.is_file()
    )
    assert settings == {"classes": CLASSES, "image_size": SIZE, "max_pixels": 100_000_000, "temperature": 1.0}
    np.testing.assert_allclose(answers, ImageClassifier(bundle).probabilities({SIZE: trial_images(SIZE)}), atol=1e-6)


def test_classes_keep_their_order(classifier: ImageClassifier) -> None:
    answers = classifier.predict([png(picture(channel)) for channel in (2, 0, 1)])
    assert list(answers.columns) == ["label", "probability", "probabilities"]
    assert answers["label"].tolist() == ["blue", "red", "green"]
    for row in answers.itertuples():
        assert list(row.probabilities) == CLASSES
        assert sum(row.probabilities.values()) == pytest.approx(1)
        assert row.probability == max(row.probabilities.values()) == row.probabilities[row.label]


def test_probabilities_are_the_softmax_of_the_logits(classifier: ImageClassifier) -> None:
    pixels = np.zeros((1, SIZE, SIZE, 3), np.float32)
    pixels[..., 0] = 25 * np.log(3)
    np.testing.assert_allclose(classifier.probabilities({SIZE: pixels}), [[0.6, 0.2, 0.2]], atol=1e-6)


def test_every_way_gives_the_same_answer(classifier: ImageClassifier) -> None:
    pixels = picture(1)
    data = png(pixels)
    text = base64.b64encode(data).decode()
    ways = {
        "list of bytes": [data],
        "bytes": data,
        "bytearray": [bytearray(data)],
        "memoryview": [memoryview(data)],
        "base64": [text],
        "single base64": text,
        "array": pixels,
        "batch": pixels[None],
        "floats": pixels.astype(np.float64),
        "nested lists": [pixels.tolist()],
        "frame of bytes": pd.DataFrame({"image": [data]}),
        "frame of base64": pd.DataFrame({"image": [text]}),
        "frame of arrays": pd.DataFrame({"image": [pixels]}),
        "frame of nested lists": pd.DataFrame({"image": [pixels.tolist()]}),
        # What MLflow makes of rows of pixels: objects that hold objects.
        "objects": [np.array([*map(list, pixels.tolist())], dtype=object)],
    }
    expected = classifier.predict([data])
    for way, model_input in ways.items():
        pd.testing.assert_frame_equal(classifier.predict(model_input), expected, obj=way)


def test_c4_pixels_scaled_to_0_1_are_refused_wherever_arrays_come_in(classifier: ImageClassifier, bundle: Path) -> None:
    good, scaled = picture(1), (picture(1) / 255).astype(np.float32)
    overshot = scaled.copy()
    overshot[0, 0, 0] = 1.04  # as resampling leaves it
    objects = np.array([*map(list, scaled.tolist())], dtype=object)
    inputs: dict[str, object] = {
        "array": scaled,
        "double precision": scaled.astype(np.float64),
        "half precision": scaled.astype(np.float16),
        "overshot": overshot,
        "batch": scaled[None],
        "list": [good, scaled],
        "nested lists": [scaled.tolist()],
        "objects": [objects],
        "frame of arrays": pd.DataFrame({"image": [scaled]}),
        "frame of nested lists": pd.DataFrame({"image": [scaled.tolist()]}),
    }
    for model in (classifier, _load_pyfunc(str(bundle))):
        for name, given in inputs.items():
            with pytest.raises(ValueError, match=r"Image \d cannot be used: .*scaled to 0\.\.1.*by 255"):
                pytest.fail(f"{name}: {model.predict(given)}")
    decoded = np.zeros((2, SIZE, SIZE, 3), np.float32)
    decoded[0] = 200
    decoded[1] = 0.7
    with pytest.raises(ValueError, match=r"at most 0\.7: scaled"):
        classifier.probabilities({SIZE: decoded})


def test_c4_dark_pixels_that_cannot_be_mistaken_are_answered(classifier: ImageClassifier) -> None:
    dark = np.zeros((4, 4, 3))
    for pixels in (dark, dark.astype(int) + 1, dark.astype(np.uint8) + 1, dark + 3.0):
        assert len(classifier.predict(pixels)) == 1


def test_more_images_than_a_batch_holds(classifier: ImageClassifier) -> None:
    channels = np.arange(2 * BATCH + 3) % 3
    answers = classifier.predict([picture(channel) for channel in channels])
    assert answers["label"].tolist() == [CLASSES[channel] for channel in channels]


def test_no_images_give_no_answers(classifier: ImageClassifier) -> None:
    assert len(classifier.predict([])) == 0
    assert classifier.probabilities({SIZE: np.empty((0, SIZE, SIZE, 3))}).shape == (0, 3)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (b"", "the file is empty"),
        (b"nothing", "not an image that can be read, but text"),
        ("not base64!", "text that is not base64: it has a blank"),
        ("aGVsbG8=", "not an image that can be read, but text"),
        (np.zeros((4, 4)), r"an array of shape \(4, 4\) instead of \[height, width, 3\]"),
        (np.zeros((4, 4, 4)), r"an array of shape \(4, 4, 4\)"),
        (np.zeros((0, 4, 3)), r"an array of shape \(0, 4, 3\)"),
        ([[[1, 2, 3]], [[1, 2]]], "rows of pixels of unequal length"),
        (np.full((4, 4, 3), 256), "pixels outside 0..255"),
        (np.full((4, 4, 3), -1), "pixels outside 0..255"),
        (np.full((4, 4, 3), np.nan), "pixels outside 0..255"),
        (None, "an array of shape"),
        (3, "an array of shape"),
    ],
)
def test_what_cannot_be_used_is_named_by_its_position(classifier: ImageClassifier, item: object, reason: str) -> None:
    with pytest.raises(ValueError, match=f"Image 1 cannot be used: .*{reason}"):
        classifier.predict([png(picture(0)), item])


def test_case_16_base64_is_taken_in_lines_and_as_a_data_url(classifier: ImageClassifier) -> None:
    data = png(picture(0))
    texts = [base64.encodebytes(data).decode(), f"data:image/png;base64,{base64.b64encode(data).decode()}"]
    answers = classifier.predict([data, *texts])["probability"]
    assert list(answers) == [answers[0]] * 3


def test_a_frame_without_the_column_is_refused(classifier: ImageClassifier) -> None:
    with pytest.raises(ValueError, match="belong in a column 'image', or paths in 'path'; there is: picture"):
        classifier.predict(pd.DataFrame({"picture": [b""]}))


def test_the_limit_of_pixels_travels_with_the_bundle(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    settings = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps({**settings, "max_pixels": 100}))
    with pytest.raises(ValueError, match="20x14 is more than 100 pixels"):
        ImageClassifier(copy).predict([png(picture(0))])


SERVE_ALONE = """
import json, sys
sys.modules["graft"] = None  # any import of graft now fails
from pathlib import Path
from serving_code.model import _load_pyfunc
answers = _load_pyfunc(sys.argv[1]).predict([Path(sys.argv[2]).read_bytes()])
print(json.dumps(answers["probabilities"][0]))
"""


@pytest.mark.slow
def test_the_code_serves_without_graft(bundle: Path, classifier: ImageClassifier, tmp_path: Path) -> None:
    shutil.copytree(Path(graft.bundle.__file__).parent, tmp_path / "serving_code")
    image = tmp_path / "image.png"
    image.write_bytes(png(picture(2)))
    command = [sys.executable, "-c", SERVE_ALONE, str(bundle), str(image)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    expected = classifier.predict([image.read_bytes()])["probabilities"][0]
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(expected, abs=1e-6)
