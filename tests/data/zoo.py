"""A zoo of odd and broken image files, each with what a scan has to say of it.

Made with Pillow and by hand; nothing is stored. ``READABLE`` gives format, mode and size; ``BROKEN`` a part of the
reason; ``PASSED_OVER`` holds what is no image by its name, or without a suffix by its first bytes, and gets no row.
"""

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

Made = Callable[[], bytes]
SIZE = (48, 32)


def pixels(mode: str = "RGB", seed: int = 0) -> Image.Image:
    """A picture with content of every frequency, 48 wide and 32 high."""
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(0, 256, (*SIZE[::-1], 3), np.uint8)).convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.linear_gradient("L").resize(SIZE))
    return image


def saved(form: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    pixels(mode).save(buffer, form, **options)
    return buffer.getvalue()


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved("JPEG", exif=exif.tobytes())


def sixteen_bit(form: str) -> bytes:
    buffer = io.BytesIO()
    ramp = np.linspace(0, 65535, SIZE[0] * SIZE[1]).astype(np.uint16).reshape(SIZE[::-1])
    Image.fromarray(ramp).save(buffer, form)
    return buffer.getvalue()


def animated(form: str) -> bytes:
    return saved(form, save_all=True, append_images=[pixels(seed=1), pixels(seed=2)])


def float_tiff() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ones(SIZE[::-1], np.float32)).save(buffer, "TIFF")
    return buffer.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def declared_png(width: int, height: int, depth: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """A PNG whose header says what the arguments say, and whose pixels are ``data`` compressed."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(data))
        + png_chunk(b"IEND", b"")
    )


def sixteen_bit_colour_png() -> bytes:
    rows = np.full((SIZE[1], SIZE[0], 3), 0x8000, ">u2")
    return declared_png(*SIZE, depth=16, data=b"".join(b"\0" + row.tobytes() for row in rows))


def text_bomb_png() -> bytes:
    """A valid picture that carries 200 MB of text in a few kilobytes."""
    whole = saved("PNG")
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 200_000_000, 9))
    return whole[:33] + bomb + whole[33:]


def with_damage(whole: bytes, at: float, length: int = 64) -> bytes:
    start = int(len(whole) * at)
    return whole[:start] + b"\x00\xff" * (length // 2) + whole[start + length :]


def bad_crc_png() -> bytes:
    whole = bytearray(saved("PNG"))
    whole[whole.index(b"IDAT") + 20] ^= 0xFF
    return bytes(whole)


def zip_of_a_picture() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("picture.png", saved("PNG"))
    return buffer.getvalue()


def two_page_tiff() -> bytes:
    return saved("TIFF", save_all=True, append_images=[pixels(seed=1)])


def tiff_without_pixels() -> bytes:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[256], directory[257] = SIZE
    buffer = io.BytesIO()
    directory.save(buffer)
    return buffer.getvalue()


def ascii_ppm() -> bytes:
    values = np.asarray(pixels()).ravel()
    return f"P3\n# a comment\n{SIZE[0]} {SIZE[1]}\n255\n{' '.join(map(str, values))}\n".encode()


def wide_ppm() -> bytes:
    values = np.full(SIZE[0] * SIZE[1] * 3, 40000, ">u2")
    return b"P6 %d %d 65535\n" % SIZE + values.tobytes()


READABLE: dict[str, tuple[Made, str, str, tuple[int, int]]] = {
    "baseline.jpg": (lambda: saved("JPEG"), "JPEG", "RGB", SIZE),
    "progressive.jpg": (lambda: saved("JPEG", progressive=True), "JPEG", "RGB", SIZE),
    "grey.jpg": (lambda: saved("JPEG", "L"), "JPEG", "L", SIZE),
    "cmyk.jpg": (lambda: saved("JPEG", "CMYK"), "JPEG", "CMYK", SIZE),
    "no subsampling.jpg": (lambda: saved("JPEG", subsampling=0), "JPEG", "RGB", SIZE),
    "garbage behind the end.jpg": (lambda: saved("JPEG") + b"\0garbage" * 99, "JPEG", "RGB", SIZE),
    "appended zip.jpg": (lambda: saved("JPEG") + zip_of_a_picture(), "JPEG", "RGB", SIZE),
    **{f"orientation {n}.jpg": (lambda n=n: oriented(n), "JPEG", "RGB", SIZE) for n in range(1, 9)},
    "orientation that does not exist.jpg": (lambda: oriented(77), "JPEG", "RGB", SIZE),
    "exif of noise.jpg": (lambda: saved("JPEG", exif=b"Exif\0\0" + bytes(range(200))), "JPEG", "RGB", SIZE),
    "a png by name.png": (lambda: saved("JPEG"), "JPEG", "RGB", SIZE),
    "a jpeg by name.jpg": (lambda: saved("PNG"), "PNG", "RGB", SIZE),
    "colour.png": (lambda: saved("PNG"), "PNG", "RGB", SIZE),
    "alpha.png": (lambda: saved("PNG", "RGBA"), "PNG", "RGBA", SIZE),
    "grey with alpha.png": (lambda: saved("PNG", "LA"), "PNG", "LA", SIZE),
    "palette.png": (lambda: saved("PNG", "P"), "PNG", "P", SIZE),
    "palette with transparency.png": (lambda: saved("PNG", "P", transparency=3), "PNG", "P", SIZE),
    "one bit.png": (lambda: saved("PNG", "1"), "PNG", "1", SIZE),
    "16 bits of grey.png": (lambda: sixteen_bit("PNG"), "PNG", "I;16", SIZE),
    "16 bits a colour.png": (sixteen_bit_colour_png, "PNG", "RGB;16", SIZE),
    "still.gif": (lambda: saved("GIF", "P"), "GIF", "P", SIZE),
    "animated.gif": (lambda: animated("GIF"), "GIF", "P", SIZE),
    "24 bits.bmp": (lambda: saved("BMP"), "BMP", "RGB", SIZE),
    "8 bits.bmp": (lambda: saved("BMP", "L"), "BMP", "L", SIZE),
    "palette.bmp": (lambda: saved("BMP", "P"), "BMP", "P", SIZE),
    "1 bit.bmp": (lambda: saved("BMP", "1"), "BMP", "1", SIZE),
    "lossy.webp": (lambda: saved("WEBP"), "WEBP", "RGB", SIZE),
    "lossless with alpha.webp": (lambda: saved("WEBP", "RGBA", lossless=True), "WEBP", "RGBA", SIZE),
    "animated.webp": (lambda: animated("WEBP"), "WEBP", "RGB", SIZE),
    "plain.tif": (lambda: saved("TIFF"), "TIFF", "RGB", SIZE),
    "lzw.tiff": (lambda: saved("TIFF", compression="tiff_lzw"), "TIFF", "RGB", SIZE),
    "jpeg inside.tif": (lambda: saved("TIFF", compression="jpeg"), "TIFF", "RGB", SIZE),
    "cmyk.tif": (lambda: saved("TIFF", "CMYK"), "TIFF", "CMYK", SIZE),
    "two pages.tif": (two_page_tiff, "TIFF", "RGB", SIZE),
    "16 bits.tif": (lambda: sixteen_bit("TIFF"), "TIFF", "I;16", SIZE),
    "binary.ppm": (lambda: saved("PPM"), "PPM", "RGB", SIZE),
    "ascii.ppm": (ascii_ppm, "PPM", "RGB", SIZE),
    "16 bits.ppm": (wide_ppm, "PPM", "RGB", SIZE),
    "grey.pgm": (lambda: saved("PPM", "L"), "PPM", "L", SIZE),
    "bits.pbm": (lambda: saved("PPM", "1"), "PPM", "1", SIZE),
    "UPPER CASE.JPG": (lambda: saved("JPEG"), "JPEG", "RGB", SIZE),
    "two.suffixes.tar.png": (lambda: saved("PNG"), "PNG", "RGB", SIZE),
    "照片.png": (lambda: saved("PNG"), "PNG", "RGB", SIZE),
    "صورة.png": (lambda: saved("PNG"), "PNG", "RGB", SIZE),
    "🌷 tulip.png": (lambda: saved("PNG"), "PNG", "RGB", SIZE),
    "cafe\u0301.png": (lambda: saved("PNG"), "PNG", "RGB", SIZE),
    "-rf.png": (lambda: saved("PNG"), "PNG", "RGB", SIZE),
    "50% off; $(echo) 'quoted' \"twice\" & <b>.png": (lambda: saved("PNG"), "PNG", "RGB", SIZE),
    "two\nlines.png": (lambda: saved("PNG"), "PNG", "RGB", SIZE),
    "no suffix": (lambda: saved("PNG"), "PNG", "RGB", SIZE),
    "no suffix, jpeg": (lambda: saved("JPEG"), "JPEG", "RGB", SIZE),
    f"{'long ' * 50}.png": (lambda: saved("PNG"), "PNG", "RGB", SIZE),
}

BROKEN: dict[str, tuple[Made, str]] = {
    "empty.jpg": (lambda: b"", "the file is empty"),
    "one byte.jpg": (lambda: b"\xff", "not an image"),
    "zeros.jpg": (lambda: bytes(5000), "but zeros alone"),
    "header alone.jpg": (lambda: saved("JPEG")[:3], "not an image"),
    "half.jpg": (lambda: saved("JPEG")[: len(saved("JPEG")) // 2], "truncated or damaged"),
    "half.png": (lambda: saved("PNG")[: len(saved("PNG")) // 2], "truncated or damaged"),
    "header alone.png": (lambda: saved("PNG")[:33], "not an image"),
    "bad checksum.png": (bad_crc_png, "truncated or damaged"),
    "no pixels.png": (lambda: declared_png(*SIZE), "truncated or damaged"),
    "no width.png": (lambda: declared_png(0, 32), "not an image"),
    "bomb.png": (lambda: declared_png(60_000, 60_000), "pixels"),
    "just too large.png": (lambda: declared_png(10_001, 10_000), "more than 100000000 pixels"),
    "half.gif": (lambda: saved("GIF", "P")[:900], "truncated or damaged"),
    "half.bmp": (lambda: saved("BMP")[:2000], "truncated or damaged"),
    "half.webp": (lambda: saved("WEBP")[:200], "not an image"),
    "half.tif": (lambda: saved("TIFF")[:2000], "truncated or damaged"),
    "no pixels.tif": (tiff_without_pixels, "not an image"),
    "floats.tif": (float_tiff, "floating-point"),
    "half.ppm": (lambda: saved("PPM")[:2000], "truncated or damaged"),
    "no numbers.ppm": (lambda: b"P3\nwide high\n255\n", "its size does not stand in its first 4096 bytes"),
    "text.jpg": (lambda: b"This is where the picture was.\n" * 40, "but text"),
    "error page.jpg": (lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "but an HTML page"),
    "drawing.png": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "but an SVG drawing"),
    "document.png": (lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "but a PDF document"),
    "archive.jpg": (zip_of_a_picture, "but a zip archive"),
    "compressed.bmp": (lambda: gzip.compress(saved("BMP")), "but a gzip archive"),
    "icon.png": (lambda: saved("ICO"), "but an icon"),
    "postscript.tif": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "but a PostScript file"),
    "lfs pointer.jpg": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "but a Git LFS pointer"),
}

PASSED_OVER: dict[str, Made] = {
    "notes.txt": lambda: b"not for training",
    "no suffix, no picture": lambda: b"not for training",
    "no suffix, a film": lambda: b"\0\0\0\x18ftypqt  \0\0\0\0qt  ",
    ".hidden.png": lambda: saved("PNG"),
    "._resource fork.jpg": lambda: b"\0\5\x16\7Mac OS X",
    ".DS_Store": lambda: b"\0\0\0\1Bud1",
    "Thumbs.db": lambda: b"\xd0\xcf\x11\xe0",
    "drawing.svg": lambda: b"<svg/>",
    "photo.png.part": lambda: saved("PNG")[:100],
}
