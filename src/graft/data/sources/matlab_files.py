"""Read the vectors in a file of MATLAB 5 to 7, as labels and lists of older data sets are published."""

import io
import struct
import zlib
from typing import Any

from graft.core.errors import GraftError, first_line

_HEADER = 128  # bytes; then elements, each of a kind, a size and its content
_MATRIX, _COMPRESSED = 14, 15
_DEEPEST = 20  # matrices in each other: scipy's reader calls itself for each, and would end the process
_LARGEST = 200_000_000  # bytes unpacked


def vectors_of_mat(name: str, data: bytes) -> dict[str, list[Any]]:
    """Return the vectors in a file of MATLAB by name. Raises GraftError where it is damaged, or of version 7.3."""
    from scipy.io import loadmat

    try:
        _require_plain(data)
        content = loadmat(io.BytesIO(data), simplify_cells=True)
    except Exception as error:  # its reader raises all kinds on damaged files
        raise GraftError(f"{name} is no MATLAB file that can be read: {first_line(error)}", "Save it as CSV") from None
    vectors = {key: value.tolist() if getattr(value, "ndim", 0) == 1 else value for key, value in content.items()}
    return {key: vector for key, vector in vectors.items() if isinstance(vector, list) and vector}


def _require_plain(data: bytes) -> None:
    """Raise ValueError where scipy's reader would not be safe: a file that unpacks to very much, or nests deeply."""
    if not data.startswith(b"MATLAB 5.0"):
        raise ValueError("it is of another version than 5 to 7")
    order = "<" if data[126:128] == b"IM" else ">"
    unpacked = 0
    pending = [(memoryview(data)[_HEADER:], 0)]
    while pending:
        block, depth = pending.pop()
        place = 0
        while place + 8 <= len(block):
            kind, size = struct.unpack_from(f"{order}II", block, place)
            inside = block[place + 8 : place + 8 + size]
            if kind == _COMPRESSED:
                content = zlib.decompressobj().decompress(inside, _LARGEST)
                unpacked += len(content)
                pending.append((memoryview(content), depth))
                place += 8 + size
                continue
            if kind == _MATRIX:
                pending.append((inside, depth + 1))
            place += 8 + (0 if kind >> 16 else size + -size % 8)  # four bytes at most stand in the size's place
            if unpacked >= _LARGEST or depth > _DEEPEST:
                raise ValueError("it unpacks to too much, or holds too many matrices in each other")
