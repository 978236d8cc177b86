"""From files as cameras and programs write them to pixels."""

import io
import struct
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graft.bundle.images import (
    CENTRE,
    READABLE_FORMATS,
    START_BYTES,
    UnreadableImageError,
    decode,
    is_image_start,
    open_image,
    resize,
    to_rgb,
)

RED, WHITE = [255, 0, 0], [255, 255, 255]


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(to_rgb(open_image(data)))


def left_red(width: int = 8, height: int = 4) -> Image.Image:
    """White with a red left half."""
    image = Image.new("RGB", (width, height), "white")
    image.paste((255, 0, 0), (0, 0, width // 2, height))
    return image


def photograph(width: int, height: int) -> Image.Image:
    """Smooth in all channels, so that JPEG changes it little."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 // (width - 1), y * 255 // (height - 1), (x + y) * 255 // (width + height - 2)]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


@pytest.mark.parametrize(
    ("orientation", "red_side"),
    [(1, "left"), (2, "right"), (3, "right"), (4, "left"), (5, "top"), (6, "top"), (7, "bottom"), (8, "bottom")],
)
def test_the_camera_held_any_way_gives_an_upright_image(orientation: int, red_side: str) -> None:
    image = left_red(32, 16)
    exif = image.getexif()
    exif[0x0112] = orientation
    pixels = decode(encoded(image, "JPEG", exif=exif, quality=95, subsampling=0), 16).astype(int)
    halves = {"left": pixels[:, :7], "right": pixels[:, 9:], "top": pixels[:7], "bottom": pixels[9:]}
    # Red has no green, white has all of it.
    greens = {side: half[..., 1].mean() for side, half in halves.items()}
    assert min(greens, key=greens.__getitem__) == red_side
    assert greens[red_side] < 30


def test_transparent_pixels_are_white_and_half_transparent_ones_half() -> None:
    image = Image.new("RGBA", (3, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (255, 0, 0, 0))
    image.putpixel((2, 0), (255, 0, 0, 128))
    red, clear, half = pixels_of(encoded(image, "PNG"))[0]
    assert red.tolist() == RED
    assert clear.tolist() == WHITE
    assert half.tolist() == pytest.approx([255, 127, 127], abs=1)


def test_alpha_that_is_opaque_changes_nothing() -> None:
    image = photograph(9, 7)
    with_alpha = image.copy()
    with_alpha.putalpha(255)
    np.testing.assert_array_equal(pixels_of(encoded(with_alpha, "PNG")), np.asarray(image))


def test_grey_with_alpha() -> None:
    image = Image.new("LA", (2, 1), (100, 255))
    image.putpixel((1, 0), (100, 0))
    assert pixels_of(encoded(image, "PNG"))[0].tolist() == [[100, 100, 100], WHITE]


def test_a_palette_gives_its_colours() -> None:
    image = left_red().quantize(4)
    assert image.mode == "P"
    np.testing.assert_array_equal(pixels_of(encoded(image, "PNG")), np.asarray(left_red()))


def test_the_transparent_colour_of_a_palette_is_white() -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    assert pixels_of(encoded(image, "PNG", transparency=1))[0].tolist() == [RED, WHITE]


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_is_scaled_not_clipped(form: str) -> None:
    samples = np.array([[0, 256, 32768, 65535]], np.uint16)
    pixels = pixels_of(encoded(Image.fromarray(samples), form))
    assert pixels[0].tolist() == [[0] * 3, [1] * 3, [128] * 3, [255] * 3]


def test_grey_and_black_and_white_become_rgb() -> None:
    assert pixels_of(encoded(Image.new("L", (1, 1), 77), "PNG"))[0, 0].tolist() == [77] * 3
    assert pixels_of(encoded(Image.new("1", (1, 1), 1), "PNG"))[0, 0].tolist() == WHITE


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    data = encoded(left_red(32, 16).convert("CMYK"), "JPEG", quality=95)
    assert open_image(data).mode == "CMYK"
    pixels = decode(data, 16).astype(int)
    assert np.abs(pixels[:, :7] - RED).max() < 30
    assert np.abs(pixels[:, 9:] - WHITE).max() < 30


def test_an_animation_shows_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "green")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert open_image(data).n_frames == 3  # type: ignore[attr-defined]
    assert pixels_of(data)[2, 2].tolist() == RED


def test_a_progressive_jpeg_is_the_same_as_a_plain_one() -> None:
    image = photograph(40, 30)
    plain, progressive = (encoded(image, "JPEG", quality=90, progressive=p) for p in (False, True))
    assert open_image(progressive).info.get("progressive")
    np.testing.assert_array_equal(decode(plain, 16), decode(progressive, 16))


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_formats_without_loss_give_the_same_pixels(form: str) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    image = photograph(23, 17)
    np.testing.assert_array_equal(pixels_of(encoded(image, form, **options)), np.asarray(image))
    np.testing.assert_array_equal(decode(encoded(image, form, **options), 12), resize(image, 12))


def test_c11_large_jpegs_are_decoded_whole() -> None:
    data = encoded(photograph(1600, 1200), "JPEG", quality=90)
    expected = Image.open(io.BytesIO(data)).resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(decode(data, 32), np.asarray(expected))


def test_decoding_gives_the_size_asked_for_whatever_the_aspect_ratio() -> None:
    pixels = decode(encoded(left_red(50, 10), "PNG"), 20)
    assert pixels.shape == (20, 20, 3)
    assert pixels.dtype == np.uint8
    assert pixels[:, :8].reshape(-1, 3).tolist() == [RED] * 160


def test_an_image_of_the_right_size_is_left_as_it_is() -> None:
    image = photograph(16, 16)
    np.testing.assert_array_equal(resize(image, 16), np.asarray(image))


def test_shrinking_averages() -> None:
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    image = Image.fromarray(board.astype(np.uint8)).convert("RGB")
    assert np.abs(resize(image, 8).astype(int) - 127).max() < 8


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
@pytest.mark.parametrize("share", [0.6, 0.9])
def test_a_truncated_file_is_refused(form: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    data = encoded(Image.fromarray(noise), form)
    with pytest.raises(UnreadableImageError, match="truncated or damaged|not an image"):
        decode(data[: int(len(data) * share)], 16)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"no image at all", "not an image that can be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image that can be read"),
        (b"\xff\xd8\xff", "not an image that can be read"),
        (b"\x89PNG\r\n\x1a\n", "not an image that can be read"),
        (bytes(1000), "not an image that can be read"),
    ],
)
def test_what_is_no_image_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImageError, match=reason):
        decode(data, 16)


def test_formats_outside_the_list_are_refused() -> None:
    with pytest.raises(UnreadableImageError, match="not an image that can be read"):
        open_image(encoded(left_red(), "ICO"))


def test_the_suffix_of_a_file_plays_no_part(tmp_path: Any) -> None:
    path = tmp_path / "photograph.jpg"
    path.write_bytes(encoded(left_red(16, 16), "PNG"))
    np.testing.assert_array_equal(decode(path.read_bytes(), 16), np.asarray(left_red(16, 16)))


def png_of_size(width: int, height: int) -> bytes:
    """A header that promises that many pixels, and no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_bomb_is_refused_by_its_header() -> None:
    with pytest.raises(UnreadableImageError, match="12000x12000 is more than 100000000 pixels"):
        decode(png_of_size(12000, 12000), 16)
    with pytest.raises(UnreadableImageError, match="too many pixels"):
        decode(png_of_size(100_000, 100_000), 16)


def test_the_limit_of_pixels_can_be_set() -> None:
    data = encoded(left_red(10, 10), "PNG")
    assert decode(data, 4, max_pixels=100).shape == (4, 4, 3)
    with pytest.raises(UnreadableImageError, match="10x10 is more than 99 pixels"):
        decode(data, 4, max_pixels=99)


def test_pixels_that_have_no_rgb_form_are_refused() -> None:
    with pytest.raises(UnreadableImageError, match="floating-point"):
        decode(encoded(Image.new("F", (4, 4), 0.5), "TIFF"), 4)
    with pytest.raises(UnreadableImageError, match="pixels of kind La"):
        to_rgb(Image.new("La", (4, 4)))


@pytest.mark.parametrize("form", READABLE_FORMATS)
def test_every_format_is_read_and_known_by_its_first_bytes(form: str) -> None:
    if form == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    data = encoded(photograph(64, 48), form)
    assert is_image_start(data[:START_BYTES])
    image = open_image(data)
    assert (image.format, image.size) == (form, (64, 48))
    assert np.abs(pixels_of(data).astype(int) - np.asarray(photograph(64, 48))).mean() < 8


@pytest.mark.parametrize(
    "start", [b"", b"P", b"P5 is a note", b"BMW is a car", b"%PDF-1.7", b"\0\0\0\x14ftypqt  \0\0\0\0qt  "]
)
def test_what_is_no_image_does_not_begin_as_one(start: bytes) -> None:
    assert not is_image_start(start)


def test_heic_without_its_package_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    data = encoded(photograph(64, 48), "HEIF")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableImageError, match="a HEIC image, which takes the Python package pillow-heif"):
        open_image(data)
    assert open_image(encoded(photograph(64, 48), "AVIF")).format == "AVIF"
    with pytest.raises(UnreadableImageError, match="not an image"):
        open_image(b"neither this nor that")


def held_sideways(*odd: tuple[int, int, int, bytes]) -> bytes:
    """A JPEG of 64 x 48, orientation 6, with tags that are not as Exif has them: number, type, count, value."""
    entries = sorted([(0x0112, 3, 1, struct.pack("<HH", 6, 0)), *odd])
    place = 8 + 2 + 12 * len(entries) + 4  # of what does not fit into an entry
    tags, values = b"", b""
    for number, kind, count, value in entries:
        if len(value) > 4:
            value, values = struct.pack("<I", place + len(values)), values + value
        tags += struct.pack("<HHI", number, kind, count) + value
    ifd = struct.pack("<H", len(entries)) + tags + bytes(4)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + ifd + values
    jpeg = encoded(left_red(64, 48), "JPEG")
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


ODD_TAGS = {
    "negative_rational": (0x011A, 10, 1, struct.pack("<ii", -1, 0)),
    "width_as_text": (0x0100, 2, 4, b"64a\0"),
    "nan": (0x011A, 12, 1, struct.pack("<d", float("nan"))),
    "resolution_as_bytes": (0x011A, 1, 1, b"\x48\0\0\0"),
    "negative_short": (0x0128, 8, 1, struct.pack("<hh", -1, 0)),
    "camera_settings_outside_of_the_file": (0x8769, 4, 1, struct.pack("<I", 60000)),
    "camera_settings_as_text": (0x8769, 2, 4, b"abc\0"),
    "place_before_the_file": (0x8825, 9, 1, struct.pack("<i", -5)),
    "type_that_is_none": (0x9999, 99, 1, bytes(4)),
    "maker_not_in_ascii": (0x010F, 2, 4, b"\xff\xfe\x80\0"),
    "xmp_as_a_number": (0x02BC, 3, 1, struct.pack("<HH", 6, 0)),
    "description_outside_of_the_file": (0x010E, 2, 20, struct.pack("<I", 60000)),
    "description_longer_than_the_file": (0x010E, 2, 500, struct.pack("<I", 40)),
    "description_of_four_gigabytes": (0x010E, 2, 2**32 - 1, struct.pack("<I", 40)),
    "more_numbers_than_are_kept": (0x0132, 3, 300_000, struct.pack("<I", 40)),
}


@pytest.mark.parametrize("kind", ODD_TAGS)
def test_case_9_an_odd_tag_in_an_intact_photograph_changes_nothing(kind: str) -> None:
    assert np.array_equal(pixels_of(held_sideways(ODD_TAGS[kind])), pixels_of(held_sideways()))
    assert pixels_of(held_sideways()).shape == (64, 48, 3)


@pytest.mark.parametrize(
    ("written", "height"),
    [
        ((1, 1, b"\6\0\0\0"), 64),  # a byte
        ((4, 1, b"\6\0\0\0"), 64),  # a long
        ((3, 2, b"\6\0\6\0"), 64),  # twice
        ((3, 1, b"\x09\0\0\0"), 48),  # no orientation there is
        ((2, 2, b"x\0\0\0"), 48),
    ],
)
def test_case_9_the_orientation_itself_written_oddly(written: tuple[int, int, bytes], height: int) -> None:
    jpeg = held_sideways().replace(
        struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0), struct.pack("<HHI", 0x0112, *written[:2]) + written[2]
    )
    assert len(pixels_of(jpeg)) == height


def png_of(pixels: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", **options)
    return stream.getvalue()


@pytest.mark.parametrize("shape", [(32, 64), (64, 32)])
def test_the_centre_is_shown_and_no_shape_is_bent(shape: tuple[int, int]) -> None:
    height, width = shape
    # 28 of 32 pixels are in view: what lies outside is blue and must not show.
    pixels = np.full((height, width, 3), (20, 10, 200), np.uint8)
    top, left = (height - 28) // 2, (width - 28) // 2
    middle = np.random.default_rng(0).integers(0, 255, (28, 28, 3)).astype(np.uint8)
    pixels[top : top + 28, left : left + 28] = middle
    np.testing.assert_array_equal(decode(png_of(pixels), 28, view=CENTRE), middle)


def test_the_centre_of_a_photograph_that_lies_on_its_side() -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: its top shows on the right
    shown = decode(png_of(pixels, exif=exif), 8, view=CENTRE)
    assert shown[:, -1].min() == 255
    assert shown[:, 0].max() == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (7, 5)])
def test_any_size_has_a_centre(size: tuple[int, int]) -> None:
    assert decode(png_of(np.full((*size, 3), 99, np.uint8)), 16, view=CENTRE).shape == (16, 16, 3)
