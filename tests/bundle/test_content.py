import base64
import gzip
import struct
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from graft.bundle.content import but_it_is, content_name
from graft.bundle.images import UnreadableImageError, open_image


def saved(form: str) -> bytes:
    stream = BytesIO()
    Image.new("RGB", (8, 6), "red").save(stream, form)
    return stream.getvalue()


def zipped() -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a", "b")
    return stream.getvalue()


CONTENTS = {
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
    "a git-annex pointer": b"../.git/annex/objects/kx/9P/SHA256E-s3--00.jpg\n",
    "a DVC pointer": b"outs:\n- md5: 0\n  path: a.jpg\n",
    "an HTML page": b"\xef\xbb\xbf\r\n<!-- cached -->\n<!DOCTYPE HTML>\n<html><body>Sign in</body></html>",
    "an SVG drawing": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "XML": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "JSON": b'{"message": "Not Found"}',
    "a server's answer": b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + saved("JPEG"),
    "a path": b"../originals/IMG_0001.jpg",
    "an address": b"https://example.org/IMG_0001.jpg\n",
    "base64 text": base64.encodebytes(saved("PNG")),
    "base64 text, not": b"data:image/png;base64," + base64.b64encode(saved("PNG")),
    "text": "Grüße".encode() * 400,
    "zeros alone": bytes(5000),
    "a pointer of Xet storage": b"# xet version 0\nfilesize = 9\n",
    "a shortcut of Windows": b"[InternetShortcut]\r\nURL=https://example.org/1.jpg\r\n",
    "an HDF5 file": b"\x89HDF\r\n\x1a\n",
    "a MATLAB file": b"MATLAB 5.0 MAT-file, Platform: GLNXA64",
    "a Parquet file": b"PAR1\x15\x04",
    "a PDF document": b"%PDF-1.7\n",
    "an icon": saved("ICO"),
    "an icon of macOS": saved("ICNS"),
    "a cursor": b"\0\0\2\0\1\0\x20\x20",
    "a Targa image": saved("TGA"),
    "a PCX image": saved("PCX"),
    "an SGI image": saved("SGI"),
    "a QOI image": saved("QOI"),
    "a PAM image": b"P7\nWIDTH 8\nHEIGHT 6\n",
    "a PFM image": b"PF\n8 6\n-1.0\n",
    "a Photoshop file": b"8BPS\0\1",
    "a JPEG XL image": b"\xff\x0a\xfa\x7f",
    "a camera's raw file": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    "a film": b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
    "a DICOM image": bytes(128) + b"DICM\2\0",
    "a zip archive": zipped(),
    "a gzip archive": gzip.compress(b"a"),
    "the attributes of a file of macOS": b"\0\5\x16\7\0\2\0\0Mac OS X",
}


@pytest.mark.parametrize("name", CONTENTS)
def test_case_22_a_file_that_is_no_image_is_named_by_what_it_is(name: str) -> None:
    with pytest.raises(UnreadableImageError, match=f"^not an image that can be read, but {name}"):
        open_image(CONTENTS[name])


def test_case_22_heic_is_read_whatever_it_is_called_and_damage_is_called_damage() -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    assert open_image(saved("HEIF")).size == (8, 6)
    for form in ("JPEG", "PNG", "HEIF"):
        with pytest.raises(UnreadableImageError, match="^not an image that can be read: damaged or cut off"):
            open_image(saved(form)[:30])


@pytest.mark.parametrize("order", ["<", ">"])
def test_case_22_a_tiff_of_many_bands_says_so_and_nothing_is_printed(order: str, capfd: pytest.CaptureFixture) -> None:
    """As satellites take them: EuroSAT's have 13 bands of 16 bits."""
    bands, pixels = 13, bytes(8 * 8 * 13 * 2)
    bits = struct.pack(f"{order}{bands}H", *[16] * bands)
    tags = [(256, 8), (257, 8), (258, 8 + len(pixels)), (262, 1), (273, 8), (277, bands), (278, 8), (279, len(pixels))]
    lists = b"".join(
        struct.pack(f"{order}HHI", tag, 4 if tag in (258, 273, 279) else 3, bands if tag == 258 else 1)
        + (struct.pack(f"{order}I", value) if tag in (258, 273, 279) else struct.pack(f"{order}HH", value, 0))
        for tag, value in tags
    ).replace(struct.pack(f"{order}HH", 258, 4), struct.pack(f"{order}HH", 258, 3))
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(pixels) + len(bits))
    data = start + pixels + bits + struct.pack(f"{order}H", len(tags)) + lists + bytes(4)
    with pytest.raises(UnreadableImageError, match="^a TIFF of 13 bands: save three of them as RGB"):
        open_image(data)
    assert capfd.readouterr() == ("", "")


def test_case_22_bytes_that_tell_nothing_are_named_nothing(tmp_path: Path) -> None:
    assert [content_name(data) for data in (b"", b"\xff", b"\x8f\x01\xc3", b"a\0b")] == [""] * 4
    assert content_name(b"x" + "ä".encode() * 600) == "text"  # a letter is cut in two where it is looked at
    assert but_it_is(tmp_path / "missing") == ""
