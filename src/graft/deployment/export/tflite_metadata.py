"""Metadata in a TensorFlow Lite file, by which phones' libraries (MediaPipe, ML Kit, Task Library) know its tensors.

They refuse a float input without NormalizationOptions. The metadata is a FlatBuffer of its own in one of the model's
buffers, after the schema 1.5.0 of MediaPipe (mediapipe/tasks/metadata/metadata_schema.fbs); numbers below are the
places of fields in it.
"""

from collections.abc import Sequence

import numpy as np

NAME = "TFLITE_METADATA"  # of the entry in the model's own list
LABELS_FILE = "labels.txt"  # appended to the file as a zip archive
IDENTIFIER, PARSER = b"M001", "1.0.0"  # of the schema, and the oldest reader that knows all fields used here
_RGB, _AXIS_LABELS = 1, 2
_IMAGE_PROPERTIES, _FEATURE_PROPERTIES, _NORMALIZATION = 2, 1, 1  # of unions


def with_metadata(model: bytes, name: str, description: str, version: str) -> bytes:
    """Return a TensorFlow Lite model with metadata: an RGB image in 0..255 in, and a probability for each label out.

    Args:
        model: with one input and one output.
    """
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    content = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(metadata(name, description, version), np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = NAME.encode(), len(content.buffers)
    content.buffers.append(buffer)
    content.metadata = [one for one in content.metadata or [] if one.name != entry.name] + [entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(content))


def metadata(name: str, description: str, version: str) -> bytes:
    """Return the FlatBuffer ``ModelMetadata``."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)

    def table(*fields: tuple[int, str, int]) -> int:
        builder.StartObject(1 + max((slot for slot, _, _ in fields), default=-1))
        for slot, kind, value in fields:
            if kind == "byte":
                builder.PrependInt8Slot(slot, value, 0)
            else:
                builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        return int(builder.EndObject())

    def text(value: str) -> int:
        return int(builder.CreateString(value))

    def numbers(*values: float) -> int:
        return int(builder.CreateNumpyVector(np.array(values, np.float32)))

    def listed(tables: Sequence[int]) -> int:
        builder.StartVector(4, len(tables), 4)
        for one in reversed(tables):
            builder.PrependUOffsetTRelative(one)
        return int(builder.EndVector())

    def tensor(title: str, about: str, union: int, properties: int, *more: tuple[int, str, int]) -> int:
        content = table((0, "byte", union), (1, "offset", properties))
        return table((0, "offset", text(title)), (1, "offset", text(about)), (3, "offset", content), *more)

    normalization = table((0, "offset", numbers(0.0)), (1, "offset", numbers(1.0)))  # (x - mean) / std: x itself
    unit = table((0, "byte", _NORMALIZATION), (1, "offset", normalization))
    stats = table((0, "offset", numbers(255.0)), (1, "offset", numbers(0.0)))
    image = tensor(
        "image",
        "RGB in 0..255.",
        _IMAGE_PROPERTIES,
        table((0, "byte", _RGB)),
        (4, "offset", listed([unit])),
        (5, "offset", stats),
    )
    labels = table((0, "offset", text(LABELS_FILE)), (1, "offset", text("Labels.")), (2, "byte", _AXIS_LABELS))
    range_of_1 = table((0, "offset", numbers(1.0)), (1, "offset", numbers(0.0)))
    probabilities = tensor(
        "probability",
        "Calibrated probabilities in the order of the labels.",
        _FEATURE_PROPERTIES,
        table(),
        (5, "offset", range_of_1),
        (6, "offset", listed([labels])),
    )
    graph = table((2, "offset", listed([image])), (3, "offset", listed([probabilities])))
    root = table(
        (0, "offset", text(name)),
        (1, "offset", text(description)),
        (2, "offset", text(version)),
        (3, "offset", listed([graph])),
        (7, "offset", text(PARSER)),
    )
    builder.Finish(root, IDENTIFIER)
    return bytes(builder.Output())
