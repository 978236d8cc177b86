"""One operation of an ONNX graph, and the shapes in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Stands in shapes for the number of images, which is not known while a graph is made: larger than any axis, and a
# prime, so that products with it and quotients by it remain exact.
BATCH = 1_000_003


@dataclass(frozen=True)
class Node:
    """An operation of a graph.

    Attributes:
        op: its name in ONNX.
        inputs, outputs: names of tensors; "" where an input is left out.
        attributes: by name.
        opset: version of ONNX's operations that it is of.
        batch: how many images there are, a scalar tensor; set while the graph runs.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    opset: int
    batch: Any = field(default=None, compare=False)

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute."""
        return self.attributes.get(name, default)

    def text(self, name: str, default: str) -> str:
        """Return an attribute that is text."""
        value = self.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def ints(self, name: str, given: Any = None, default: Sequence[int] | None = None) -> Any:
        """Return whole numbers that are an attribute in older versions of ONNX and the input ``given`` in newer ones.

        Raises:
            ValueError: they are the output of another operation.
        """
        if given is None:
            return self.get(name, default)
        if not isinstance(given, np.ndarray):
            raise ValueError(f"{name} of {self.op} follows from the image")
        return given.ravel().tolist()

    def sizes(self, shape: np.ndarray) -> list[Any]:
        """Return a shape with the number of images in the place of :data:`BATCH`."""
        return [self.batch * (int(size) // BATCH) if size >= BATCH else int(size) for size in shape.ravel()]


def shape_of(tensor: Any) -> list[int]:
    """Return a tensor's shape, with :data:`BATCH` for what is not known."""
    return [BATCH if size is None else int(size) for size in tensor.shape]
