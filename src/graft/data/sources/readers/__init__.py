"""Readers: from the files of a published data set to images in class folders, one module per layout.

    folders   class folders as they are
    idx       MNIST's files of pixels and of labels
    records   CIFAR-10's binary files
    sheets    pictures with one image per row, and their labels as JSON
    table     a table that names each image and its class
    birds     the tables of CUB-200-2011
    flowers   the numbered images of Oxford's flowers, with MATLAB's files
    signs     numbered class folders and a test table: GTSRB

A block of catalogue.yaml names a reader by its ``kind`` and gives its settings. Every module here is one: a class
derived from Reader with a ``kind`` of its own is found without being named anywhere else.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from graft.data.sources.readers.folders import FoldersReader
from graft.data.sources.readers.reader import Reader


def _readers() -> tuple[type[Reader], ...]:
    """Return the class of every kind of reader in this package."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return tuple(reader for reader in Reader.__subclasses__() if "kind" in reader.model_fields)


if TYPE_CHECKING:
    AnyReader = Reader
else:
    AnyReader = Annotated[Union[_readers()], Field(discriminator="kind")]  # noqa: UP007  their number is open

__all__ = ["AnyReader", "FoldersReader"]
