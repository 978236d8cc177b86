"""Images of 16 bits a sample, whose values may take fewer: the range comes from the file, never from the picture.

A camera of 12 bits in files of 16 leaves the upper four empty; read as 16 bits, such a photograph has 16 grey levels.
Two formats can say so, and both are read with care:

* TIFF's MaxSampleValue is by the standard the largest value that is *used* (TIFF 6.0, section 8), so only a full range
  counts: 1023, 4095, 16383 and so on.
* PNG's sBIT says how many bits are significant, of samples that are scaled to all 16 (PNG, 11.3.2.7). Some programs
  leave out the scaling: then no sample is above the range, and lower bits are in use that scaling leaves empty.

PGM and PPM give their range, which Pillow applies.
"""

import io
import struct
import sys

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

FULL_BITS = 16
_ROWS = 128  # converted at a time
_MAX_SAMPLE_VALUE = 281  # of TIFF
_NATIVE = "L" if sys.byteorder == "little" else "B"
# Of a Pillow raw mode, the one that takes the other byte of each sample.
_OTHER_BYTE = {
    f"{mode};16{order}": f"{mode};16{'B' if (order.replace('N', _NATIVE)) == 'L' else 'L'}"
    for mode in ("RGB", "RGBA")
    for order in "LBN"
}


def is_deep(image: ImageFile) -> bool:
    """Return whether an image that is not loaded yet has 16 bits a sample."""
    return image.mode.startswith("I;16") or _raw_mode(image).partition(";")[2].startswith("16")


def declared_bits(image: ImageFile, data: bytes) -> int:
    """Return how many bits a sample of a 16-bit image takes by what its file says: 8 to 16.

    Args:
        image: opened from ``data``, not loaded.
    """
    if image.format == "TIFF":
        found = image.tag_v2.get(_MAX_SAMPLE_VALUE)  # type: ignore[attr-defined]
        # The file chooses the tag's type too: text, bytes and fractions say nothing.
        largest = max([one for one in (found if isinstance(found, tuple) else [found]) if type(one) is int], default=0)
        bits = largest.bit_length()
        return bits if 8 <= bits < FULL_BITS and largest == 2**bits - 1 else FULL_BITS
    if image.format == "PNG":
        bits = max(_significant_bits(data), default=FULL_BITS)
        return bits if 8 <= bits < FULL_BITS else FULL_BITS
    return FULL_BITS


def eight_bits(image: ImageFile, bits: int) -> tuple[Image.Image, int]:
    """Return a 16-bit image with 8 bits a sample, and how many bits its values take where it was read as 16, else 16.

    Args:
        bits: of its range, see :func:`declared_bits`.

    Raises:
        Exception: its pixels are damaged; whatever Pillow raises.
    """
    is_grey = image.mode.startswith("I")
    low = None if bits == FULL_BITS or is_grey else _low_bytes(image)
    image.load()
    if not is_grey and low is None:
        # Pillow has taken the upper byte.
        peak = max(high for _, high in image.getextrema()[:3])  # type: ignore[misc]
        return image, peak.bit_length() + 8
    upper, lower = np.asarray(image), None if low is None else np.asarray(low)

    def band(rows: slice) -> np.ndarray:
        """Return samples of some rows, uint16 ``[rows, W]`` or ``[rows, W, C]``: all would take 20 bytes a pixel."""
        samples = upper[rows].astype(np.uint16)
        return samples if lower is None else samples << 8 | lower[rows]

    bands = [slice(start, start + _ROWS) for start in range(0, len(upper), _ROWS)]
    used = 0  # bits that any sample has set
    for rows in bands:
        used |= int(np.bitwise_or.reduce(band(rows), axis=None))
    taken = used.bit_length()
    if image.format == "PNG" and (taken > bits or not used & (2 ** (FULL_BITS - bits) - 1)):
        bits = FULL_BITS  # scaled, as the standard has it
    scaled = np.empty(upper.shape, np.uint8)
    for rows in bands:
        scaled[rows] = np.minimum(band(rows) >> (bits - 8), 255)
    return Image.fromarray(scaled), taken if bits == FULL_BITS else FULL_BITS


def mode_name(mode: str, taken: int) -> str:
    """Return what to call pixels of 16 bits a sample: Pillow's name, ``;16``, and the bits where they take fewer."""
    name = mode if ";16" in mode else f"{mode};16"
    return name if taken == FULL_BITS else f"{name} of {taken} bits"


def _low_bytes(image: ImageFile) -> Image.Image | None:
    """Return the image with the lower byte of each sample, where Pillow can be had to take that."""
    raw = _raw_mode(image)
    other = _OTHER_BYTE.get(raw)
    if other is None:
        return None
    assert isinstance(image.fp, io.BytesIO)
    low = Image.open(io.BytesIO(image.fp.getvalue()), formats=(str(image.format),))
    low.tile = [
        tile._replace(args=(other, *tile.args[1:]) if isinstance(tile.args, tuple) else other) for tile in low.tile
    ]
    return low


def _raw_mode(image: ImageFile) -> str:
    """Return Pillow's name for how samples lie in the file, such as ``RGB;16B``; ``""`` where it is not known."""
    args = image.tile[0].args if image.tile else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _significant_bits(data: bytes) -> bytes:
    """Return the content of a PNG file's sBIT, a byte a channel; nothing where it has none."""
    at = 8
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"sBIT":
            return data[at + 8 : at + 8 + min(length, 4)]
        if name in (b"IDAT", b"IEND"):
            break
        at += 12 + length
    return b""
