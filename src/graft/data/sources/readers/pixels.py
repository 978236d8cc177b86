"""Images that are published as arrays, written as PNG: the same pixels, and the same bytes on every machine.

The pixels stand in the file uncompressed. How well zlib packs differs between its versions, so a packed file
would get another hash on another machine; and a file of a few kilobytes takes one block of a disk either way.
"""

import struct
import zlib

_STORED = 65535  # bytes in one block that deflate leaves as it is
_COLOUR_TYPES = {1: 0, 3: 2}  # channels -> PNG's number for grey and for RGB


def png(pixels: bytes, width: int, height: int, channels: int) -> bytes:
    """Return a PNG file of 8-bit samples, row by row, channels together; ``channels`` is 1 (grey) or 3 (RGB)."""
    stride = width * channels
    rows = b"".join(b"\0" + pixels[start : start + stride] for start in range(0, height * stride, stride))
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    return b"".join(
        (b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", header), _chunk(b"IDAT", _store(rows)), _chunk(b"IEND", b""))
    )


def png_size(width: int, height: int, channels: int) -> int:
    """Return the size in bytes of a file that :func:`png` makes."""
    rows = height * (1 + width * channels)
    return 57 + 6 + 5 * max(1, -(-rows // _STORED)) + rows


def target(split: str, label: str, position: int) -> str:
    """Return the name in data/ of an image that has no name of its own: its position in the split, as published."""
    return f"{split}/{label}/{position:05d}.png"


def _store(data: bytes) -> bytes:
    """Return the bytes that zlib would make of the data at level 0, spelled out."""
    blocks = []
    for start in range(0, len(data), _STORED):
        block = data[start : start + _STORED]
        is_last = start + _STORED >= len(data)
        blocks.append(struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF) + block)
    return b"\x78\x01" + b"".join(blocks) + struct.pack(">I", zlib.adler32(data))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
