"""Read the vectors in a file of MATLAB 5 to 7, as labels and lists of older data sets are published."""

import json
import struct
import subprocess
import sys
import zlib
from typing import Any

from graft.core.errors import GraftError, first_line

_HEADER = 128  # bytes; then elements, each of a kind, a size and its content
_MATRIX, _COMPRESSED = 14, 15
_DEEPEST = 20  # matrices in each other: scipy's reader calls itself for each
_LARGEST = 200_000_000  # bytes unpacked
_SECONDS = 120
_READ = """
import io, json, sys
from scipy.io import loadmat
content = loadmat(io.BytesIO(sys.stdin.buffer.read()), simplify_cells=True)
vectors = {key: value.tolist() if getattr(value, "ndim", 0) == 1 else value for key, value in content.items()}
vectors = {key: value for key, value in vectors.items() if isinstance(value, list) and value}
json.dump(vectors, sys.stdout, default=lambda value: value.tolist() if hasattr(value, "tolist") else str(value))
"""


def vectors_of_mat(name: str, data: bytes) -> dict[str, list[Any]]:
    """Return the vectors in a file of MATLAB by name.

    scipy reads it in a process of its own, which damaged files end (a segmentation fault in scipy 1.17).

    Raises:
        GraftError: it is damaged, or of version 7.3.
    """
    try:
        _require_plain(data)
        command = [sys.executable, "-I", "-c", _READ]
        done = subprocess.run(command, input=data, capture_output=True, timeout=_SECONDS, check=True)
        return dict(json.loads(done.stdout))
    except (ValueError, zlib.error, subprocess.SubprocessError) as error:
        why = "it is damaged" if isinstance(error, subprocess.SubprocessError) else first_line(error)
        raise GraftError(f"{name} is no MATLAB file that can be read: {why}", "Save it as CSV") from None


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
