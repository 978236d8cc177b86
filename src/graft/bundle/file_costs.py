"""Refuse files that cost more to open and decode than their pixels explain, by their bytes, before Pillow reads them.

Pixels have a limit of their own. These have none in Pillow:

* JPEG: each scan goes over all pixels, and 14 bytes are a scan: 12,600 in 0.2 MB took minutes.
* TIFF: each tag's values are copied out, also where a thousand tags name the same bytes, and each strip becomes an
  object of 330 bytes. Exif is one too: where it costs so much, Pillow does not get to see it.
* PGM and PPM: comments before the size are read letter by letter.
"""

import re
import struct

from .jpeg_file import EXIF, FRAMES, SCAN, START, exif_of, segments

# Ten scans are usual in a progressive JPEG; more are taken of small pictures. At 4 ns each this is some seconds.
USUAL_SCANS, MAX_SCANNED_PIXELS = 16, 1_000_000_000
# Of numbers in one tag: strips, for the most part, of which a picture of 100 megapixels has thousands.
MAX_TAG_VALUES = 200_000
_PNM_HEAD_BYTES = 4096
_PNM_HEAD = re.compile(rb"P[1-6](?:(?:\s|#[^\r\n]*[\r\n])+\d+){2}")
_PNM_MARK = re.compile(rb"P[1-6][\s#]")
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BANDS, _ORIENTATION = 277, 274  # SamplesPerPixel, and how the camera was held (Exif 2.32)
_TEXT = 2
_TEXT_TYPES = (1, _TEXT, 6, 7)  # kept as bytes


def why_too_costly(data: bytes) -> str:
    """Return why a file would take more memory or time than its size and pixels explain; ``""`` where it does not."""
    if data[:4] in _TIFF_STARTS:
        return why_tags_are_too_costly(data)
    if data.startswith(START):
        return _why_jpeg_is_too_costly(data)
    if _PNM_MARK.match(data) and not _PNM_HEAD.match(data[:_PNM_HEAD_BYTES]):
        return f"its size does not stand in its first {_PNM_HEAD_BYTES} bytes"
    return ""


def without_costly_exif(data: bytes) -> bytes:
    """Return a file with its Exif under another name, where that is what costs; the pixels of a JPEG do not need it."""
    return data.replace(EXIF, bytes(len(EXIF))) if why_tags_are_too_costly(exif_of(data)) else data


def why_tags_are_too_costly(data: bytes) -> str:
    """Return why a TIFF file, or one built alike (Exif), takes too much by its first list of tags; else ``""``."""
    tags = _tags(data)
    if sum(values * _TIFF_SIZES.get(kind, 0) for _, kind, values, _ in tags) > len(data) + 8 * len(tags):
        return "its tags name more bytes than it has"
    if any(kind not in _TEXT_TYPES and values > MAX_TAG_VALUES for _, kind, values, _ in tags):
        return f"a tag has more than {MAX_TAG_VALUES} values"
    return ""


def exif_orientation(exif: bytes) -> int | None:
    """Return how the camera was held, 1 to 8, whatever other tags there are; None where Exif does not say it.

    Only the tag itself is looked at: one that names bytes which are not there, or more than there are, ends what
    Pillow reads of the list.
    """
    while exif.startswith(EXIF):  # twice in some
        exif = exif[len(EXIF) :]
    for tag, kind, count, value in _tags(exif):
        if tag == _ORIENTATION and count:
            size = _TIFF_SIZES.get(kind, 1)
            one = value[:size] if exif[:2] == b"II" else value[:size][::-1]
            number = int.from_bytes(one, "little") - (ord("0") if kind == _TEXT else 0)
            return number if 1 <= number <= 8 else None
    return None


def tiff_bands(data: bytes) -> int:
    """Return how many samples a pixel of a TIFF file has; 0 of any other file."""
    values = [value for tag, *_, value in _tags(data) if tag == _BANDS] if data[:4] in _TIFF_STARTS else []
    return int.from_bytes(values[0][:2], "little" if data[:2] == b"II" else "big") if values else 0


def _tags(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Return number, kind, count of values and field of each tag in the first list; nothing where it is cut off."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return []
    # A BigTIFF has 64 bits where others have 16 or 32.
    is_big = data[2:4] in (b"+\0", b"\0+")
    at, number, entry = (8, "Q", "HHQ8s") if is_big else (4, "H", "HHI4s")
    try:
        (start,) = struct.unpack_from(f"{order}{'Q' if is_big else 'I'}", data, at)
        (count,) = struct.unpack_from(f"{order}{number}", data, start)
        first, size = start + struct.calcsize(f"{order}{number}"), struct.calcsize(f"{order}{entry}")
        there = max(0, min(count, (len(data) - first) // size))
        return list(struct.iter_unpack(f"{order}{entry}", data[first : first + size * there]))
    except struct.error:
        return []  # cut off: what reads it will say so


def _why_jpeg_is_too_costly(data: bytes) -> str:
    pixels, scans = 1, 0
    for marker, body in segments(data):
        if marker in FRAMES and len(body) >= 5:
            pixels = max(1, int.from_bytes(body[1:3], "big") * int.from_bytes(body[3:5], "big"))
        elif marker == 0xE2 and body.startswith(b"MPF\0") and (reason := why_tags_are_too_costly(body[4:])):
            return reason
        elif marker == SCAN:
            scans += 1
            most = max(USUAL_SCANS, MAX_SCANNED_PIXELS // pixels)
            if scans > most:
                return f"it has more than {most} scans"
    return ""
