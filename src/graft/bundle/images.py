"""Decode image files to pixels, the same way in training, evaluation, serving and beside every exported model.

A copy of this file lies in every bundle and every export, so it needs NumPy and Pillow alone. HEIC, which iPhones
write, takes the package pillow-heif; without it such a file is refused by name.
"""

import io
import logging
import re
import warnings

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from .content import but_it_is
from .depth import declared_bits, eight_bits, is_deep
from .file_costs import exif_orientation, tiff_bands, why_too_costly, without_costly_exif
from .jpeg_file import exif_of, lacks_its_end, whole_without_its_end

logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)  # it prints what is raised as well, for each file
DEFAULT_MAX_PIXELS = 100_000_000
# What of a photograph a network is shown. ImageNet's networks are measured on the central 224 of 256 pixels: on 1,399
# photographs of cats and dogs that is better than the whole squeezed to a square, which makes animals thin or fat.
WHOLE, CENTRE = "whole", "centre"
CENTRE_SHARE = 224 / 256
# Of floats that were scaled to 0..1: resampling with negative lobes goes past 1, yet stays below 2.
LARGEST_SCALED = 2.0
# In `info` of an image of 16 bits a sample: how many its file says it takes, and once it is decoded, how many its
# values take where it was read as 16.
DECLARED_BITS, TAKEN_BITS = "graft declared bits", "graft taken bits"
ENDLESS = "graft data without end mark"  # in `info` of a JPEG: its bytes, where it has no end
# Names of Pillow's readers for what people photograph and export; anything else is refused. JPEG reads MPO too.
READABLE_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "HEIF", "AVIF", "JPEG2000")
_HEIF = "HEIF"
# Of ISO base media files (HEIF is ISO/IEC 23008-12, annex B): an AVIF names avif beside mif1, which both share.
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=\"|>)([1-8])")
# What makes an image upright, by its orientation (Exif 2.32, tag 274); 1 is upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What files of the other formats begin with; two letters (BMP) and text (PPM) are looked at more closely.
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
START_BYTES = 64  # of a file, which tell its format
SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".gif",
        ".bmp",
        ".webp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".heic",
        ".heif",
        ".hif",
        ".avif",
        ".jp2",
        ".j2k",
    }
)


class UnreadableImageError(ValueError):
    """The bytes are no image that can be used; the message says why in a few words."""


class TooLargeError(UnreadableImageError):
    """The image has more pixels than are allowed."""


def _brands(start: bytes) -> set[bytes]:
    """Return what kinds of media an ISO base media file says it is, by its first bytes."""
    if start[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(start[:4], "big"), len(start))
    return {start[8:12], *(start[at : at + 4] for at in range(16, end - 3, 4))}


def is_image_start(start: bytes) -> bool:
    """Return whether a file that begins so is an image of a readable format, whatever it is called.

    Args:
        start: :data:`START_BYTES` of it, or all where it has fewer.
    """
    return (
        start.startswith(_STARTS)
        or (start.startswith(b"RIFF") and start[8:12] == b"WEBP")
        or (start.startswith(b"BM") and start[6:10] == bytes(4))
        or (start[:1] == b"P" and start[1:2] in b"123456" and start[2:3].isspace() and start[3:4].isdigit())
        or bool(_brands(start) & (_HEIF_BRANDS | _AVIF_BRANDS))
    )


def _formats_of(data: bytes) -> tuple[str, ...]:
    """Return the formats that Pillow shall try: HEIF is read by a package of its own, where that is installed.

    Raises:
        UnreadableImageError: it is not, and this is such a file.
    """
    brands = _brands(data[:START_BYTES])
    if brands & _AVIF_BRANDS or not brands & _HEIF_BRANDS:
        return tuple(name for name in READABLE_FORMATS if name != _HEIF)
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise UnreadableImageError("a HEIC image, which takes the Python package pillow-heif to be read") from None
    register_heif_opener(thumbnails=False)
    return (_HEIF,)


def open_image(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> Image.Image:
    """Open an image file's bytes; read its header only, pixels follow on demand.

    Raises:
        UnreadableImageError: empty, not an image, of an unknown format, larger than ``max_pixels``, or made to take
            more than its pixels explain, see :mod:`.file_costs`.
    """
    if not data:
        raise UnreadableImageError("the file is empty")
    if reason := why_too_costly(data):
        raise UnreadableImageError(reason)
    formats = _formats_of(data)
    try:
        with warnings.catch_warnings():
            # Pillow's own bomb limit is a process-wide global; ours is checked below, before any pixel is read. Of
            # odd tags it warns, one line each.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(without_costly_exif(data)), formats=formats)
        if exif := exif_of(data):
            image.info["exif"] = exif
        if lacks_its_end(data):
            image.info[ENDLESS] = data
        if is_deep(image):
            image.info[DECLARED_BITS] = declared_bits(image, data)
    except Image.DecompressionBombError as error:
        (found,) = re.findall(r"\d+(?= pixels\) exceeds)", str(error)) or ["more than can be read"]
        raise TooLargeError(f"too many pixels: {found}, more than {max_pixels}") from None
    except Exception as error:
        # Pillow's plugins raise anything from SyntaxError to struct.error on damaged headers.
        if (bands := tiff_bands(data)) > 4:
            raise UnreadableImageError(f"a TIFF of {bands} bands: save three of them as RGB") from None
        begun = is_image_start(data[:START_BYTES])
        what = ": damaged or cut off near its beginning" if begun else but_it_is(data)
        raise UnreadableImageError(f"not an image that can be read{what}") from error
    width, height = image.size
    if width * height > max_pixels:
        raise TooLargeError(f"{width}x{height} is more than {max_pixels} pixels")
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert the first frame, upright, to 8-bit RGB; transparent parts show white, as on a page.

    Where a sample has 16 bits, the range is what the file says, see :mod:`.depth`; ``image.info[TAKEN_BITS]`` is set.

    Raises:
        UnreadableImageError: the pixels are truncated or damaged, or have no RGB form.
    """
    try:
        opened = image
        if isinstance(opened, ImageFile) and DECLARED_BITS in opened.info:
            image, opened.info[TAKEN_BITS] = eight_bits(opened, opened.info[DECLARED_BITS])
        if ENDLESS in opened.info:
            image = whole_without_its_end(opened.info[ENDLESS])
        image.load()
    except Exception as error:
        raise UnreadableImageError("the file is truncated or damaged") from error
    if (turn := _TURNS.get(orientation(opened))) is not None:
        image = image.transpose(turn)
    if image.mode == "F":
        raise UnreadableImageError("floating-point pixels have no fixed range")
    if image.mode == "I" and opened.format != "PPM":
        raise UnreadableImageError("pixels of 32 bits have no fixed range")
    if image.mode.startswith("I"):
        # 16 bits a pixel, of a PGM that gives its range, or made in memory; Pillow's own conversion would clip at 255.
        samples = np.asarray(image).astype(np.int64)
        image = Image.fromarray(np.clip(samples >> 8, 0, 255).astype(np.uint8))
    try:
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            image = Image.new("RGBA", rgba.size, "white")
            image.alpha_composite(rgba)
        return image if image.mode == "RGB" else image.convert("RGB")
    except ValueError as error:
        raise UnreadableImageError(f"pixels of kind {image.mode} have no RGB form here") from error


def orientation(image: Image.Image) -> int:
    """Return how the camera was held, 1 to 8; 1 where nothing says it, and for a TIFF, which Pillow turns."""
    if image.format == "TIFF":
        return 1
    about = image.info.get("XML:com.adobe.xmp") or image.info.get("xmp") or b""
    found = exif_orientation(_exif_of(image)) or _XMP_ORIENTATION.search(
        about.encode() if isinstance(about, str) else about
    )
    return int(found[1]) if isinstance(found, re.Match) else found or 1


def _exif_of(image: Image.Image) -> bytes:
    text = image.info.get("Raw profile type exif", "")
    try:
        return image.info.get("exif") or bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return b""


def decode(data: bytes, size: int, max_pixels: int = DEFAULT_MAX_PIXELS, view: str = WHOLE) -> np.ndarray:
    """Decode an image file to pixels, uint8 ``[size, size, 3]``, RGB in 0..255; see :func:`resize`.

    Raises:
        UnreadableImageError: see :func:`open_image` and :func:`to_rgb`.
    """
    # Every pixel is decoded. JPEG at 1/2, 1/4 or 1/8 would be up to 3 x faster, and no program that only resizes could
    # then come to the same pixels: features were off by up to 33 %.
    return resize(to_rgb(open_image(data, max_pixels)), size, view)


def require_pixel_range(pixels: np.ndarray) -> None:
    """Refuse arrays that are not RGB in 0..255, such as floats that were scaled to 0..1.

    Floats of at most :data:`LARGEST_SCALED` are nearly black where they mean 0..255, and every network answers for
    black, often with certainty. Whole numbers are taken as they are, and so is an image of zeros: black either way.

    Args:
        pixels: numbers ``[H, W, 3]`` or ``[N, H, W, 3]``; each image is judged by itself.

    Raises:
        UnreadableImageError: a value is not in 0..255, or an image looks scaled.
    """
    if pixels.dtype == np.uint8 or not pixels.size:
        return
    if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 255:
        raise UnreadableImageError("pixels outside 0..255")
    peaks = pixels.max(axis=(-3, -2, -1))
    if np.issubdtype(pixels.dtype, np.floating) and ((peaks > 0) & (peaks <= LARGEST_SCALED)).any():
        largest = peaks[(peaks > 0) & (peaks <= LARGEST_SCALED)].max()
        raise UnreadableImageError(
            f"floating-point pixels of at most {largest:g}: scaled to 0..1, it seems, where 0..255 is wanted. "
            "Multiply them by 255, or send whole numbers where the photograph is that dark"
        )


def resize(image: Image.Image, size: int, view: str = WHOLE) -> np.ndarray:
    """Resize an RGB image to uint8 ``[size, size, 3]``: bilinear, with antialiasing when it shrinks.

    Args:
        view: ``whole`` squeezes all of it to a square; ``centre`` is the square in its middle of 7/8 of the shorter
            side.
    """
    if view == CENTRE:
        side = CENTRE_SHARE * min(image.size)
        left, top = ((length - side) / 2 for length in image.size)
        box = (left, top, left + side, top + side)
        return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box), dtype=np.uint8)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8)
