"""Images of 16 bits a sample whose values take fewer (C10): the range comes from what the file says."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from graft.bundle.images import TAKEN_BITS, UnreadableImageError, decode, open_image, to_rgb

HEIGHT, WIDTH = 20, 30
KINDS = {1: 0, 2: 4, 3: 2, 4: 6}  # PNG's, by the number of channels


def samples(channels: int, bits: int = 12) -> np.ndarray:
    """Noise of all values of so many bits; alpha is opaque."""
    noise = np.random.default_rng(channels).integers(0, 2**bits, (HEIGHT, WIDTH, channels), np.uint16)
    if channels in (2, 4):
        noise[..., -1] = 2**bits - 1
    return noise


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(values: np.ndarray, significant: int | None = None) -> bytes:
    channels = values.shape[2]
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, KINDS[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    said = chunk(b"sBIT", bytes([significant] * channels)) if significant else b""
    parts = chunk(b"IHDR", head), said, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(values: np.ndarray, largest: int | None = None, order: str = "<", packed: bool = False) -> bytes:
    """In three strips, as TIFF 6.0 has them; ``largest`` is MaxSampleValue."""
    channels, rows = values.shape[2], 7
    raw = [values[at : at + rows].astype(f"{order}u2").tobytes() for at in range(0, HEIGHT, rows)]
    strips = [zlib.compress(one) for one in raw] if packed else raw
    short, long = (3, "H", 2), (4, "I", 4)
    tags = [
        (256, long, [WIDTH]),
        (257, long, [HEIGHT]),
        (258, short, [16] * channels),
        (259, short, [8 if packed else 1]),
        (262, short, [2 if channels >= 3 else 1]),
        (273, long, [0] * len(strips)),
        (277, short, [channels]),
        (278, long, [rows]),
        (279, long, [len(one) for one in strips]),
        *([(281, short, [largest] * channels)] if largest else []),
        *([(338, short, [2])] if channels == 4 else []),
    ]
    end = 8 + 2 + 12 * len(tags) + 4
    at = end + sum(kind[2] * len(found) for _, kind, found in tags if kind[2] * len(found) > 4)
    starts = [at + sum(map(len, strips[:number])) for number in range(len(strips))]
    entries, beside = b"", b""
    for tag, (number, code, size), found in tags:
        body = struct.pack(f"{order}{len(found)}{code}", *(starts if tag == 273 else found))
        entries += struct.pack(f"{order}HHI", tag, number, len(found))
        entries += body.ljust(4, b"\0") if size * len(found) <= 4 else struct.pack(f"{order}I", end + len(beside))
        beside += body if size * len(found) > 4 else b""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}IH", 8, len(tags)) + entries + bytes(4) + beside + b"".join(strips)


def shown(data: bytes) -> np.ndarray:
    return np.asarray(to_rgb(open_image(data)))


def as_rgb(values: np.ndarray) -> np.ndarray:
    colours = values[..., :1] if values.shape[2] < 3 else values[..., :3]
    return np.broadcast_to(colours, (HEIGHT, WIDTH, 3))


SAYING: dict[str, tuple[int, Callable[[np.ndarray], bytes]]] = {
    "PNG, grey": (1, lambda values: png(values, 12)),
    "PNG, colour": (3, lambda values: png(values, 12)),
    "PNG, colour and alpha": (4, lambda values: png(values, 12)),
    **{
        f"TIFF, {channels} channels, {order}{' packed' * packed}": (
            channels,
            lambda values, order=order, packed=packed: tiff(values, 4095, order, packed),
        )
        for channels in (1, 3, 4)
        for order in "<>"
        for packed in (False, True)
    },
}


@pytest.mark.parametrize("kind", SAYING)
def test_c10_twelve_bits_keep_their_grey_levels_where_the_file_says_so(kind: str) -> None:
    channels, write = SAYING[kind]
    values = samples(channels)
    np.testing.assert_array_equal(shown(write(values)), as_rgb(values) >> 4)
    assert len(np.unique(decode(write(values), WIDTH))) > 100


@pytest.mark.parametrize("bits", [8, 10, 14, 15])
def test_c10_any_number_of_bits_may_be_said(bits: int) -> None:
    values = samples(3, bits)
    for data in (png(values, bits), tiff(values, 2**bits - 1)):
        np.testing.assert_array_equal(shown(data), values >> (bits - 8))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_that_is_scaled_as_the_standard_has_it_stays_as_it_is(channels: int) -> None:
    values = samples(channels)
    dark = values // 16  # scaled, below 4096 too
    for one in (values, dark):
        for scaled in (one << 4 | one >> 8, one << 4):
            if channels in (2, 4):
                scaled[..., -1] = 65535
            np.testing.assert_array_equal(shown(png(scaled, 12)), as_rgb(scaled) >> 8)


def test_the_largest_value_that_a_tiff_uses_is_no_range() -> None:
    values = samples(1, 16)
    for largest in (3000, 65535, 255 * 256):
        np.testing.assert_array_equal(shown(tiff(values, largest)), as_rgb(values) >> 8)


def test_values_above_a_range_are_white() -> None:
    values = samples(1)
    values[0, 0] = 65535
    assert shown(tiff(values, 4095))[0, 0].tolist() == [255] * 3


def test_the_camera_held_upright() -> None:
    values = samples(1)
    exif = Image.Exif()
    exif[0x0112] = 3
    said = png(values, 12)
    data = said[:33] + chunk(b"eXIf", exif.tobytes()[6:]) + said[33:]
    np.testing.assert_array_equal(shown(data), (as_rgb(values) >> 4)[::-1, ::-1])


def test_c10_bits_that_are_taken_are_told_where_nothing_is_said() -> None:
    def taken(data: bytes) -> object:
        image = open_image(data)
        to_rgb(image)
        return image.info.get(TAKEN_BITS)

    for channels in (1, 2, 3, 4):
        for bits in (9, 12, 14):
            assert taken(png(samples(channels, bits))) == bits
        assert taken(png(samples(channels, 16))) == 16
        assert taken(tiff(samples(1), 4095)) == 16  # read as 12
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "PNG")
    assert taken(stream.getvalue()) is None


def tagged(kind: int, value: object) -> bytes:
    """A TIFF of 16 bits whose MaxSampleValue is of any type."""
    tags = ImageFileDirectory_v2()
    tags.tagtype[281] = kind
    tags[281] = value
    stream = io.BytesIO()
    Image.fromarray(samples(1)[..., 0]).save(stream, "TIFF", tiffinfo=tags)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "value"), [(2, "abc"), (5, (0, 0)), (5, 4095), (7, b"xx"), (11, float("nan")), (12, float("inf"))]
)
def test_a_range_that_is_no_whole_number_is_none(kind: int, value: object) -> None:
    """A number that cannot be one ended scans and predictions with a traceback."""
    np.testing.assert_array_equal(shown(tagged(kind, value)), as_rgb(samples(1)) >> 8)


@pytest.mark.parametrize("largest", [255, 1000, 70_000])
def test_pixels_of_32_bits_are_refused_rather_than_shown_black(largest: int) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((8, 8), largest, np.int32)).save(stream, "TIFF")
    with pytest.raises(UnreadableImageError, match="32 bits have no fixed range"):
        shown(stream.getvalue())


def test_a_pgm_gives_its_range() -> None:
    pgm = b"P5 2 1 1023 " + np.array([1023, 512], ">u2").tobytes()
    assert shown(pgm)[0, :, 0].tolist() == [255, 128]
