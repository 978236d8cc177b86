"""Files that cost more than their pixels do are refused before Pillow reads them (A7); ordinary ones are not."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from graft.bundle.file_costs import why_too_costly
from graft.bundle.images import UnreadableImageError, decode, open_image, to_rgb

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))


def encoded(form: str, image: Image.Image = NOISE, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def tags(entries: list[tuple[int, int, int, int]], rest: bytes = b"", order: str = "<") -> bytes:
    """A TIFF file's first list of tags: number, kind, count, and the value or where it is."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    packed = b"".join(struct.pack(f"{order}HHII", *entry) for entry in entries)
    return mark + struct.pack(f"{order}IH", 8, len(entries)) + packed + bytes(4) + rest


def big_tags(entries: list[tuple[int, int, int, int]]) -> bytes:
    packed = b"".join(struct.pack("<HHQQ", *entry) for entry in entries)
    return b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, len(entries)) + packed + bytes(8)


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def with_segments(*segments: bytes) -> bytes:
    jpeg = encoded("JPEG")
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def with_scans(count: int) -> bytes:
    """The last scan over and over, each a few bytes that go over all pixels."""
    jpeg = encoded("JPEG", Image.new("RGB", (4000, 4000)), progressive=True)
    last = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + last * count + b"\xff\xd9"


# A thousand tags that all name the same 4,000 bytes.
SHARED = [(40_000 + number, 1, 4_000, 8) for number in range(1000)]
BOMBS = {
    "scans of a JPEG": (with_scans(200), "more than 62 scans"),
    "strips of a TIFF": (tags([(273, 4, 300_000, 100)], bytes(1_300_000)), "more than 200000 values"),
    "tags of a TIFF": (tags(SHARED, bytes(4000)), "name more bytes than it has"),
    "tags of a TIFF, big end first": (tags(SHARED, bytes(4000), ">"), "name more bytes than it has"),
    "tags of a BigTIFF": (big_tags([(273, 16, 2**60, 16)]), "name more bytes than it has"),
    "index of several pictures in a JPEG": (
        with_segments(segment(0xE2, b"MPF\0" + tags(SHARED))),
        "name more bytes than it has",
    ),
    "comments of a PPM": (b"P6\n" + b"# comment\n" * 500 + b"8 8 255\n" + bytes(192), "first 4096 bytes"),
    "blanks of a PPM": (b"P6" + b" " * 5000 + b"8 8 255\n" + bytes(192), "first 4096 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a7_bombs_are_refused_before_pillow_reads_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*arguments: Any, **options: Any) -> None:
        raise AssertionError("Pillow was asked")

    monkeypatch.setattr(Image, "open", opened)
    data, reason = BOMBS[name]
    with pytest.raises(UnreadableImageError, match=reason):
        decode(data, 8)


def in_png(exif: bytes, before: bool) -> bytes:
    """Exif in a chunk of its own, before the pixels or behind them."""
    png = encoded("PNG")
    at = 33 if before else len(png) - 12
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    return png[:at] + chunk + png[at:]


def in_text(exif: bytes) -> bytes:
    text = PngInfo()
    text.add_text("Raw profile type exif", "\nexif\n1\n" + exif.hex(), zip=True)
    return encoded("PNG", pnginfo=text)


SIDEWAYS = tags([(0x0112, 3, 1, 6), *SHARED], bytes(9))
COSTLY_EXIF = {
    "JPEG": with_segments(segment(0xE1, b"Exif\0\0" + SIDEWAYS)),
    "JPEG in parts": with_segments(
        *(segment(0xE1, b"Exif\0\0" + SIDEWAYS[at : at + 8000]) for at in range(0, len(SIDEWAYS), 8000))
    ),
    "PNG": in_png(SIDEWAYS, before=True),
    "PNG behind its pixels": in_png(SIDEWAYS, before=False),
    "PNG as text": in_text(SIDEWAYS),
    "WebP": encoded("WEBP", exif=SIDEWAYS),
}


@pytest.mark.parametrize("form", COSTLY_EXIF)
def test_a7_of_costly_exif_the_orientation_alone_is_read(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*arguments: Any) -> None:
        raise AssertionError("Exif was read")

    monkeypatch.setattr(Image.Exif, "load", read)
    monkeypatch.setattr(ImageFileDirectory_v2, "load", read)
    assert to_rgb(open_image(COSTLY_EXIF[form])).size == (60, 80)


def test_ordinary_files_are_not_refused() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    files = [
        encoded("JPEG", exif=exif),
        encoded("JPEG", exif=exif, progressive=True),
        encoded("MPO", exif=exif, save_all=True, append_images=[NOISE] * 20),
        encoded("PNG", exif=exif),
        encoded("WEBP", exif=exif),
        encoded("TIFF", exif=exif),
        encoded("TIFF", compression="tiff_deflate"),
        encoded("TIFF", big_tiff=True),
        b"P6\n# made by hand\n80 60\n255\n" + bytes(80 * 60 * 3),
        b"P6 80 60 255 " + bytes(80 * 60 * 3),
        # A motion photograph: what follows the picture says nothing of it.
        encoded("JPEG") + b"\xff\xda" * 5000,
        # Neither do a thumbnail and a maker's notes.
        with_segments(segment(0xE1, b"Exif\0\0" + tags([(700, 7, 60_000, 26)], b"\xff\xda" * 30_000))),
    ]
    for data in files:
        assert why_too_costly(data) == ""
        assert decode(data, 8).shape == (8, 8, 3)
