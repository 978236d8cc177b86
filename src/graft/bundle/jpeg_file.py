"""Read what a JPEG file says beside its pixels: its Exif, its scans, and whether it was written to its end.

Pillow takes zeros behind half a photograph, which a broken copy leaves, for the other half of it, and refuses one that
lacks its end mark alone, as some cameras write it. Here the marks are read, and the decoder is asked twice.
"""

import io
import re
from collections.abc import Iterator

from PIL import Image

START, END, EXIF = b"\xff\xd8", b"\xff\xd9", b"Exif\0\0"
SCAN = 0xDA
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the markers that give the size
_END, _EXIF = 0xD9, 0xE1
# A marker that ends the coded data of a scan: neither a stuffed FF, nor a restart, nor a filling byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_FILLINGS = (b"\0" * 64, b"\xaa" * 64)


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each marker of a JPEG file with what belongs to it, up to its end mark (D9), if it has one.

    What follows that is another image, or none. Of other files nothing is yielded.
    """
    at = len(START)
    while data.startswith(START) and (found := _MARKER.search(data, at)):
        marker, at = data[found.start() + 1], found.end()
        if marker == _END:
            yield marker, b""
            return
        size = int.from_bytes(data[at : at + 2], "big")
        yield marker, data[at + 2 : at + size]
        at += size


def exif_of(data: bytes) -> bytes:
    """Return the Exif of a JPEG file, put together where it comes in parts; nothing of any other file."""
    exif = b""
    for marker, body in segments(data):
        if marker == SCAN:  # Pillow reads no further
            break
        if marker == _EXIF and body.startswith(EXIF):
            exif += body[len(EXIF) :]
    return exif


def lacks_its_end(data: bytes) -> bool:
    """Return whether this is a JPEG file without end mark."""
    return data.startswith(START) and all(marker != _END for marker, _ in segments(data))


def whole_without_its_end(data: bytes) -> Image.Image:
    """Return a JPEG without end mark, decoded.

    Where coded pixels are missing, the decoder makes them of what stands in their place, so that other bytes there make
    another picture.

    Raises:
        ValueError: more than the end mark is missing.
        Exception: it is damaged; whatever Pillow raises.
    """
    coded = data.rstrip(b"\0")
    if coded[-1:] == b"\xff":
        coded += b"\0"  # belongs to it, so that it is no marker
    one, other = (Image.open(io.BytesIO(coded + filling + END), formats=("JPEG",)) for filling in _FILLINGS)
    if not _has_all_scans(data) or one.tobytes() != other.tobytes():
        raise ValueError("cut off")
    return one


def _has_all_scans(data: bytes) -> bool:
    """Return whether the scans give each component its coefficients 0 to 63, to their last bit (T.81, B.2.3 and G)."""
    components, given = b"", set[tuple[int, int]]()
    for marker, body in segments(data):
        if marker in FRAMES and len(body) > 5:
            components = body[6::3]
        elif marker == SCAN and body and len(body) >= 4 + 2 * body[0]:
            first, last, bits = body[1 + 2 * body[0] :][:3]
            if bits & 15 == 0:  # the position of the last bit
                given |= {(one, place) for one in body[1 : 1 + 2 * body[0] : 2] for place in range(first, last + 1)}
    return bool(components) and all((one, place) in given for one in components for place in range(64))
