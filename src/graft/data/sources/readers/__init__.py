"""Readers: from the files of a published data set to images in class folders, one module per layout.

    folders   class folders as they are
    idx       MNIST's files of pixels and of labels
    records   CIFAR-10's binary files
    sheets    pictures with one image per row, and their labels as JSON
    table     a table that names each image and its class
    birds     the tables of CUB-200-2011
    signs     numbered class folders and a test table: GTSRB

A block of catalogue.yaml names a reader by its ``kind`` and gives its settings.
"""

from typing import Annotated

from pydantic import Field

from graft.data.sources.readers.birds import BirdsReader
from graft.data.sources.readers.folders import FoldersReader
from graft.data.sources.readers.idx import IdxReader
from graft.data.sources.readers.records import RecordsReader
from graft.data.sources.readers.sheets import SheetsReader
from graft.data.sources.readers.signs import SignsReader
from graft.data.sources.readers.table_reader import TableReader

AnyReader = Annotated[
    BirdsReader | FoldersReader | IdxReader | RecordsReader | SheetsReader | SignsReader | TableReader,
    Field(discriminator="kind"),
]

__all__ = ["AnyReader", "FoldersReader"]
