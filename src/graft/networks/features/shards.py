"""One shard of the feature store: rows of numbers under their keys, in a file that is whole or not there.

An Arrow IPC file (https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format), read by memory map, with
the columns

    key    fixed_size_binary[32]  what the row is of
    crc    uint32                 CRC-32 of key and row: a damaged row is noticed, never used
    row    fixed_size_list        the numbers
"""

import uuid
import zlib
from pathlib import Path

import numpy as np

from graft.core.errors import GraftError, first_line
from graft.core.files import replaced_file

KEY_BYTES = 32
SUFFIX = ".arrow"


def write_shard(folder: Path, keys: np.ndarray, rows: np.ndarray) -> Path:
    """Write a new shard into ``folder``; it is in its place once it is whole and on the disk.

    Args:
        keys: ``S32``-like bytes, uint8 ``[N, 32]``.
        rows: float16 or float32 ``[N, D]``, one per key.

    Raises:
        OSError: the disk is full, or cannot be written; nothing is left behind.
    """
    import pyarrow as pa

    rows = np.ascontiguousarray(rows)
    kind = pa.from_numpy_dtype(rows.dtype)
    table = pa.table(
        {
            "key": pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(KEY_BYTES), len(keys), [None, pa.py_buffer(np.ascontiguousarray(keys).tobytes())]
            ),
            "crc": pa.array(_checksums(keys, rows), pa.uint32()),
            "row": pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1), kind), rows.shape[1]),
        }
    )
    target = folder / f"{uuid.uuid4().hex}{SUFFIX}"
    with (
        replaced_file(target) as partial,
        partial.open("wb") as stream,
        pa.ipc.new_file(stream, table.schema) as writer,
    ):
        writer.write_table(table, max_chunksize=len(keys))
    return target


def shards_of(folder: Path) -> list[Path]:
    """Return the files of all shards in a folder, sorted, without those that are being written."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))


class Shard:
    """A shard that is read; opening it reads its keys, rows are read when they are asked for.

    Raises:
        GraftError: the file is torn, or no shard.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self.path = path
        try:
            batches = pa.ipc.open_file(pa.memory_map(str(path)))
            if batches.num_record_batches != 1 or batches.schema.names != ["key", "crc", "row"]:
                raise pa.ArrowInvalid(f"{batches.num_record_batches} batches of {batches.schema.names}")
            batch = batches.get_batch(0)
            batch.validate()
            count = batch.num_rows
            self.keys = np.frombuffer(batch["key"].buffers()[1], np.uint8).reshape(-1, KEY_BYTES)[:count]
            self.crcs = batch["crc"].to_numpy()
            self._rows = batch["row"].flatten().to_numpy().reshape(count, -1)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise GraftError(f"The shard {path} is damaged ({first_line(error)})") from error

    def rows(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return rows by their place in the shard, ``[n, D]``, and for each whether it is as it was written."""
        rows, keys = self._rows[indices], self.keys[indices]
        return rows, _checksums(keys, rows) == self.crcs[indices]

    @property
    def width(self) -> int:
        return int(self._rows.shape[1])


def _checksums(keys: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.array(
        [zlib.crc32(row.data, zlib.crc32(key.data)) for key, row in zip(keys, rows, strict=True)], np.uint32
    )
