"""What a .tflite file says of itself, as the libraries of phones read it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from flatbuffers import number_types
from flatbuffers.table import Table
from PIL import Image

from graft.deployment.export import tflite
from graft.deployment.export.bundle_source import INPUT, OUTPUT, ExportSource
from graft.deployment.export.tflite_metadata import NAME, metadata

SIZE, CLASSES = 8, ["red", "grün", "blue sky"]


class Reader:
    """A table of a FlatBuffer, whose fields are asked for by their places in the schema."""

    def __init__(self, data: bytes, position: int) -> None:
        self.table, self.data = Table(data, position), data

    @classmethod
    def of(cls, data: bytes) -> Reader:
        return cls(data, flatbuffers.encode.Get(number_types.UOffsetTFlags.packer_type, data, 0))

    def _at(self, slot: int) -> int:
        offset = self.table.Offset(4 + 2 * slot)
        assert offset, f"no field {slot}"
        return int(offset + self.table.Pos)

    def text(self, slot: int) -> str:
        return bytes(self.table.String(self._at(slot))).decode()

    def byte(self, slot: int) -> int:
        return int(self.table.Get(number_types.Int8Flags, self._at(slot)))

    def inner(self, slot: int) -> Reader:
        return Reader(self.data, self.table.Indirect(self._at(slot)))

    def tables(self, slot: int) -> Iterator[Reader]:
        offset = self.table.Offset(4 + 2 * slot)
        start = self.table.Vector(offset)
        for number in range(self.table.VectorLen(offset)):
            yield Reader(self.data, self.table.Indirect(start + 4 * number))

    def floats(self, slot: int) -> list[float]:
        return list(self.table.GetVectorAsNumpy(number_types.Float32Flags, self.table.Offset(4 + 2 * slot)))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose three answers are the means of the channels."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("tflite")

    @tf.function(input_signature=[tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32, name=INPUT)])
    def serve(image):  # type: ignore[no-untyped-def]
        return {OUTPUT: tf.nn.softmax(tf.reduce_mean(image, (1, 2)) / 10.0)}

    module = tf.Module()
    module.serve = serve
    tf.saved_model.save(module, str(folder / "source"), signatures={"serving_default": serve})
    about = {"model": {"name": "skies", "version": "3", "digest": "0"}}
    tflite.write(ExportSource(folder / "source", SIZE, CLASSES, about), folder)
    return folder


def metadata_of(model: bytes) -> bytes:
    from tensorflow.lite.tools import flatbuffer_utils

    content = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    (entry,) = [one for one in content.metadata if one.name == NAME.encode()]
    return bytes(content.buffers[entry.buffer].data)


def test_case_18_the_file_says_how_pixels_are_given_and_where_labels_are(exported: Path) -> None:
    data = metadata_of((exported / tflite.FILE).read_bytes())
    assert data[4:8] == b"M001"
    model = Reader.of(data)
    assert (model.text(0), model.text(2), model.text(7)) == ("skies", "3", "1.0.0")
    (graph,) = model.tables(3)
    (image,), (answer,) = graph.tables(2), graph.tables(3)
    content = image.inner(3)
    assert (content.byte(0), content.inner(1).byte(0)) == (2, 1)  # ImageProperties, RGB
    (unit,) = image.tables(4)
    assert unit.byte(0) == 1  # NormalizationOptions
    assert (unit.inner(1).floats(0), unit.inner(1).floats(1)) == ([0.0], [1.0])
    assert (image.inner(5).floats(0), image.inner(5).floats(1)) == ([255.0], [0.0])
    assert answer.inner(3).byte(0) == 1  # FeatureProperties
    (labels,) = answer.tables(6)
    assert (labels.text(0), labels.byte(2)) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS


def test_case_18_the_model_answers_as_it_did(exported: Path) -> None:
    import zipfile

    image = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    image[..., 1] = 200
    assert tflite.load(exported)(image).argmax() == 1
    with zipfile.ZipFile(exported / tflite.FILE) as archive:
        assert archive.read("labels.txt").decode().splitlines() == CLASSES


def test_case_18_names_beyond_ascii_are_kept() -> None:
    assert Reader.of(metadata("größe 犬", "", "1")).text(0) == "größe 犬"


@pytest.mark.skipif(importlib.util.find_spec("mediapipe") is None, reason="takes the package mediapipe")
def test_case_18_mediapipe_classifies_with_the_file(exported: Path, tmp_path: Path) -> None:
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    Image.new("RGB", (32, 24), (0, 200, 0)).save(tmp_path / "green.png")
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=str(exported / tflite.FILE)))
    with vision.ImageClassifier.create_from_options(options) as classifier:
        found = classifier.classify(mediapipe.Image.create_from_file(str(tmp_path / "green.png")))
    best = found.classifications[0].categories[0]
    assert (best.category_name, best.score > 0.99) == ("grün", True)
