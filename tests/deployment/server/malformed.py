"""Requests that no server should answer: each a name and the bytes that go over the connection."""

import base64
import gzip
import io
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from running import head

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
CUTS = (0.02, 0.25, 0.5, 0.75)
BOUNDARY = "edge"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
JSON = "application/json"

Request = tuple[str, bytes]


def encoded(form: str = "PNG", size: tuple[int, int] = (40, 30), seed: int = 0) -> bytes:
    """An image that can be read: noise, so that no part of its file says nothing."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, form)
    return stream.getvalue()


def form_of(*files: bytes, name: str = "photo.png") -> bytes:
    """A form of files, well-formed but for what ``name`` holds."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode("latin-1")
        + file
        + b"\r\n"
        for file in files
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode("ascii")


def json_of(value: Any) -> bytes:
    return json.dumps(value).encode("ascii")


def text_of(image: bytes) -> str:
    return base64.b64encode(image).decode("ascii")


def malformed(max_images: int, max_image_bytes: int) -> Iterator[Request]:
    """All of them; the two limits are the server's."""
    for name, body in _images():
        yield f"image: {name}", _post(body, "image/*")
    for name, content_type in _content_types():
        yield f"content type: {name}", _post(encoded(), content_type)
    for name, body in _json_bodies(max_images, max_image_bytes):
        yield f"JSON: {name}", _post(body, JSON)
    for name, body in _forms(max_images, max_image_bytes):
        yield f"form: {name}", _post(body, FORM)
    yield from _paths()
    yield from _http()


def _post(body: bytes, content_type: str, **headers: object) -> bytes:
    return head("POST", "/predict", content_type=content_type, content_length=len(body), **headers) + body


def _images() -> Iterator[Request]:
    for form in FORMATS:
        whole = encoded(form)
        for cut in CUTS:
            yield f"{form} cut at {cut:.0%}", whole[: max(1, int(len(whole) * cut))]
    yield from _bombs()
    png = encoded("PNG")
    damaged = bytearray(encoded("JPEG"))
    damaged[2:40] = bytes(38)
    yield "JPEG with its head wiped out", bytes(damaged)
    yield "PNG with a wrong checksum", png[:40] + bytes([png[40] ^ 1]) + png[41:]
    yield "PNG of no size", _png_head(0, 0)
    yield "PNG of a negative width", _png_head(2**31, 5)
    yield "PNG of an unknown kind of colour", _png_head(8, 8, kind=5)
    yield "nothing", b""
    yield "one byte", b"\xff"
    yield "zeros", bytes(5000)
    yield "noise", np.random.default_rng(1).bytes(5000)
    yield "text", b"hello, this is a photograph"
    yield "HTML", b"<!doctype html><script>alert(1)</script>"
    yield "SVG", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
    yield "PDF", b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n"
    yield "PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (w) file\n"
    yield "archive", b"PK\x03\x04" + bytes(60)
    yield "HEIC", b"\x00\x00\x00\x18ftypheic" + bytes(60)
    yield "signature of a GIF and no more", b"GIF89a"
    yield "floating-point TIFF", _float_tiff()
    yield "compressed PNG", gzip.compress(png)
    yield "base64 without saying so", base64.b64encode(png)
    yield "path", b"/etc/passwd"
    yield "file URL", b"file:///etc/passwd"


def _bombs() -> Iterator[Request]:
    pixels = _chunk(b"IDAT", zlib.compress(bytes(1000)))
    yield "PNG that claims 60,000 x 60,000", _png_head(60_000, 60_000) + pixels
    yield "PNG of 64 megapixels in 65 KB", _png_of_zeros(8_000, 8_000)
    yield "PNG one pixel high and 60 million wide", _png_head(60_000_000, 1) + pixels
    yield (
        "GIF that claims 65,535 x 65,535",
        (
            b"GIF89a"
            + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0)
            + struct.pack("<cHHHHBB", b",", 0, 0, 65_535, 65_535, 0, 2)
            + bytes(20)
        ),
    )
    yield (
        "BMP that claims 50,000 x 50,000",
        (
            b"BM"
            + struct.pack("<IHHI", 154, 0, 0, 54)
            + struct.pack("<IiiHHIIiiII", 40, 50_000, 50_000, 1, 24, *[0] * 6)
        ),
    )
    yield "PPM that claims 100,000 x 100,000", b"P6 100000 100000 255\n" + bytes(100)
    jpeg = encoded("JPEG")
    frame = jpeg.index(b"\xff\xc0")
    yield (
        "JPEG that claims 65,500 x 65,500",
        jpeg[: frame + 5] + struct.pack(">HH", 65_500, 65_500) + jpeg[frame + 9 :],
    )
    webp = encoded("WEBP")
    start = webp.index(b"\x9d\x01\x2a") + 3
    yield ("WebP that claims 16,383 x 16,383", webp[:start] + struct.pack("<HH", 16_383, 16_383) + webp[start + 4 :])
    tiff = Image.new("RGB", (8, 8))
    stream = io.BytesIO()
    tiff.save(stream, "TIFF")
    data = bytearray(stream.getvalue())
    for tag in (256, 257):
        at = data.index(struct.pack("<HHI", tag, 4, 1)) if struct.pack("<HHI", tag, 4, 1) in data else -1
        at = at if at >= 0 else data.index(struct.pack("<HHI", tag, 3, 1))
        data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, 90_000)
    yield "TIFF that claims 90,000 x 90,000", bytes(data)


def _content_types() -> Iterator[tuple[str, str]]:
    for content_type in (
        "text/plain",
        "text/html",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/pdf",
        "video/mp4",
        "multipart/mixed; boundary=edge",
        "image",
        "/",
        "*/*",
        "%00",
        "x" * 5000,
    ):
        yield content_type[:40], content_type
    yield "empty", ""
    yield "JSON, for an image", JSON
    yield "form, for an image", FORM
    yield "form without a boundary", "multipart/form-data"
    yield "form with an empty boundary", "multipart/form-data; boundary="
    yield "form with a boundary of 2,000 characters", f"multipart/form-data; boundary={'b' * 2000}"
    yield "Latin-1", "imäge/png"


def _json_bodies(max_images: int, max_image_bytes: int) -> Iterator[Request]:
    good = text_of(encoded())
    for value in (None, True, 0, 1.5, "", "images", [], [good], {}, {"image": good}, {"images": None}):
        yield f"{json.dumps(value)[:40]}", json_of(value)
    for images in (good, {}, {"0": good}, 3, True, []):
        yield f"images is {json.dumps(images)[:40]}", json_of({"images": images})
    for item in (None, 1, 1.5, False, [], [good], {}, {"b64": good}, "", " ", "not base64!", "=", "====", "a", "ä"):
        yield f"an image is {json.dumps(item)[:40]}", json_of({"images": [item]})
    yield "NaN", b'{"images": [NaN]}'
    yield "Infinity", b'{"images": [-Infinity]}'
    yield "a number without end", b'{"images": [' + b"9" * 100_000 + b"]}"
    yield "an exponent without end", b'{"images": [1e' + b"9" * 1000 + b"]}"
    yield "half a surrogate", b'{"images": ["\\ud800"]}'
    yield "zero characters", b'{"images": ["\\u0000"]}'
    yield "base64 for URLs", json_of({"images": ["_-_-"]})
    yield "base64 with a blank in it", json_of({"images": [good[:40] + " " + good[40:]]})
    yield "base64 cut short", json_of({"images": [good[:-3]]})
    yield "base64 of text", json_of({"images": [text_of(b"hello")]})
    yield "a data URL in another form", json_of({"images": [f"data:image/png,{good}"]})
    yield "a path", json_of({"images": ["../../etc/passwd"]})
    yield "a URL", json_of({"images": ["http://localhost/photo.png"]})
    yield "one good image and one bad", json_of({"images": [good, text_of(b"bad")]})
    yield "another key beside", json_of({"images": [good], "top": 3})
    yield "too many images", json_of({"images": [good] * (max_images + 1)})
    yield "an image that is too large", json_of({"images": [text_of(bytes(max_image_bytes + 1))]})
    yield "cut off", json_of({"images": [good]})[:-5]
    yield "something behind it", json_of({"images": [good]}) + b"}"
    yield "two of them", 2 * json_of({"images": [good]})
    yield "single quotes", b"{'images': []}"
    yield "a comment", b'{"images": [] /* none */}'
    yield "a byte order mark", b"\xef\xbb\xbf{}"
    yield "no UTF-8", b'{"images": ["\xff\xfe"]}'
    yield "100,000 lists in each other", b'{"images": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    yield "900 lists in each other", b"[" * 900 + b"]" * 900
    yield "400 objects in each other", b'{"a":' * 400 + b"1" + b"}" * 400
    yield "a million values", b'{"images": [' + b"0," * 1_000_000 + b"0]}"
    yield "a million keys", b"{" + b",".join(b'"%d":0' % number for number in range(100_000)) + b"}"


def _forms(max_images: int, max_image_bytes: int) -> Iterator[Request]:
    good = encoded()
    start, end = f"--{BOUNDARY}\r\n".encode(), f"--{BOUNDARY}--\r\n".encode()
    disposition = b'Content-Disposition: form-data; name="file"; filename="a.png"\r\n'
    yield "empty", b""
    yield "no part", end
    yield "text", b"hello"
    yield "another boundary", form_of(good).replace(BOUNDARY.encode(), b"other")
    yield "no closing boundary", form_of(good).removesuffix(end)
    yield "cut off in the image", form_of(good)[:-100]
    yield "cut off in a header", start + disposition[:20]
    yield "a field", start + b'Content-Disposition: form-data; name="a"\r\n\r\nvalue\r\n' + end
    yield (
        "a file and a field",
        form_of(good).removesuffix(end) + (start + b'Content-Disposition: form-data; name="a"\r\n\r\nvalue\r\n' + end),
    )
    yield "a part without headers", start + b"\r\n" + good + b"\r\n" + end
    yield "a header without a colon", start + b"Content-Disposition form-data\r\n\r\n" + good + b"\r\n" + end
    yield "a header with a zero", start + b"A\x00: b\r\n" + disposition + b"\r\n" + good + b"\r\n" + end
    yield ("a header of a megabyte", start + b"A: " + b"b" * 1_000_000 + b"\r\n" + disposition + b"\r\n\r\n" + end)
    yield "10,000 headers", start + b"A: b\r\n" * 10_000 + disposition + b"\r\n" + good + b"\r\n" + end
    yield "lines ended by LF alone", form_of(good).replace(b"\r\n", b"\n")
    yield "an empty file", form_of(b"")
    yield "a file of text", form_of(b"hello")
    yield "a path as the file's name", form_of(b"hello", name="../../../etc/passwd")
    yield "control characters in the file's name", form_of(b"hello", name="a\x01\x1b[31m.png")
    yield "a name of 100,000 characters", form_of(b"hello", name="a" * 100_000)
    yield "one good file and one bad", form_of(good, b"bad")
    yield "a form in the form", form_of(form_of(good))
    yield "base64 as the file", form_of(base64.b64encode(good))
    yield "too many files", form_of(*[good] * (max_images + 1))
    yield "10,000 empty files", form_of(*[b""] * 10_000)
    yield "a file that is too large", form_of(bytes(max_image_bytes + 1))


def _paths() -> Iterator[Request]:
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD", "BREW", "post"):
        yield f"{method} /predict", head(method, "/predict")
    for path in (
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/predict/../../../etc/passwd",
        "//etc/passwd",
        "/predict/",
        "/PREDICT",
        "/predict%00",
        "/%00",
        "/%ff%fe",
        "/%",
        "/docs",
        "/redoc",
        "/static/page.html",
        "/page.html",
        "/.git/config",
        "/favicon.ico",
        "/invocations",
        "http://example.org/",
        "*",
        "/" + "a" * 10_000,
    ):
        yield f"GET {path[:40]}", head("GET", path)
    for path in ("/", "/health", "/ready", "/metrics", "/model", "/openapi.json"):
        yield f"POST {path}", head("POST", path, content_length=0)
    yield "CONNECT", head("CONNECT", "example.org:443")
    yield ("a WebSocket", head("GET", "/predict", upgrade="websocket", connection="Upgrade", sec_websocket_key="eA=="))


def _http() -> Iterator[Request]:
    image = encoded()
    rest = b"\r\n\r\n"
    yield "another host", head("GET", "/", host="example.org")
    yield "a host that ends like ours", head("GET", "/", host="localhost.example.org")
    yield "an empty host", head("GET", "/health", host="")
    yield "no host", b"GET /health HTTP/1.1" + rest
    yield "two hosts", b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: example.org" + rest
    yield "a header of 100 KB", head("GET", "/health", x="a" * 100_000)
    yield "a header's name of 100 KB", b"GET / HTTP/1.1\r\n" + b"a" * 100_000 + b": b" + rest
    yield "10,000 headers", b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * 10_000 + b"\r\n"
    yield "a path of 100 KB", head("GET", "/" + "a" * 100_000)
    yield "a space in the path", head("GET", "/a b")
    yield "bytes in the path that are not ASCII", head("GET", "/gr\xfcn")
    yield "a zero in a header", b"GET / HTTP/1.1\r\nHost: localhost\r\na: b\x00c" + rest
    yield "a header without a colon", b"GET / HTTP/1.1\r\nHost: localhost\r\nabc" + rest
    yield "a space before the colon", b"GET / HTTP/1.1\r\nHost : localhost" + rest
    yield "an unknown version", b"GET / HTTP/9.9\r\nHost: localhost" + rest
    yield "HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield "no method", b" / HTTP/1.1\r\nHost: localhost" + rest
    yield "no version", b"GET /" + rest
    yield "noise", np.random.default_rng(2).bytes(300) + rest
    yield "TLS", bytes.fromhex("16030100c8010000c40303") + bytes(200) + rest
    yield "an unknown coding of the transfer", head("POST", "/predict", transfer_encoding="gzip") + image
    yield ("two lengths", head("POST", "/predict", content_type="image/png", Content_Length=5, content_length=6))
    for length in ("-1", "+5", "0x10", "1e3", "five", "1 2", "9" * 30):
        request = head("POST", "/predict", content_type="image/png", content_length=length)
        yield f"a length of {length}", request
    chunked = head("POST", "/predict", content_type="image/png", transfer_encoding="chunked")
    yield "a chunk of no size", chunked + b"xyz\r\n"
    yield "a chunk of a negative size", chunked + b"-5\r\nabcde\r\n"
    yield "a chunk longer than it says", chunked + b"2\r\nabcdef\r\n0\r\n\r\n"
    yield "a chunk's extension of 100 KB", chunked + b"1;" + b"a" * 100_000
    yield "no chunks", chunked + b"0\r\n\r\n"
    yield "a compressed body", _post(gzip.compress(image), "image/png", content_encoding="gzip")
    yield "a body larger than any", head("POST", "/predict", content_type="image/png", content_length=10**15)


def _png_head(width: int, height: int, kind: int = 2) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))


def _png_of_zeros(width: int, height: int) -> bytes:
    packer = zlib.compressobj(9)
    row = bytes(1 + width)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return _png_head(width, height, kind=0) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _float_tiff() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ones((8, 8), np.float32)).save(stream, "TIFF")
    return stream.getvalue()
