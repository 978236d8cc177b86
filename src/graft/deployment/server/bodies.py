"""Read the bytes of images out of a request's body: raw, a form, or JSON, each within its limits.

A body is read whole, never past its limit, and taken apart only then, off the event loop: what a stranger sends
decides neither how much memory is taken nor how long others wait.
"""

import codecs
import json
import re
from collections.abc import AsyncIterator, Callable
from enum import Enum
from typing import Any

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from graft.bundle.base64_text import NotBase64Error, base64_bytes, least_bytes
from graft.core.params.serve_params import ServeParams

JSON_KEY = "images"
# A valid body has one such sign an image and a few more. Each value takes sixty bytes of memory or more once it is
# parsed, for two bytes of body: so many are not parsed at all.
MAX_JSON_VALUES = 1000
# An escaped character beyond ASCII; some programs escape the + and / of base64.
_LARGE_ESCAPE = re.compile(r"\\u(?!00[0-7])")


class RefusedError(Exception):
    """A request that is not answered.

    Attributes:
        status: of HTTP, 4xx.
        reason: what was found and what would be right, as a sentence.
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(reason)


class Kind(Enum):
    """The form in which images stand in a body."""

    RAW = "raw"
    FORM = "form"
    JSON = "json"


def kind_of(content_type: str, content_encoding: str = "") -> Kind:
    """Return how images stand in a body, by these two headers.

    Raises:
        RefusedError: 415, no images are taken from such a body.
    """
    if content_encoding.strip().lower() not in ("", "identity"):
        raise RefusedError(415, "The body is compressed. Send it as it is, without Content-Encoding.")
    media = content_type.partition(";")[0].strip().lower()
    if media.startswith("image/") or media == "application/octet-stream":
        return Kind.RAW
    if media == "multipart/form-data":
        return Kind.FORM
    if media == "application/json":
        return Kind.JSON
    found = f"'{media[:80]}'" if media else "not given"
    raise RefusedError(
        415,
        f"The content type is {found}. Send a photograph's bytes as image/* or application/octet-stream, "
        "files as multipart/form-data, or base64 as application/json.",
    )


async def read_body(
    chunks: AsyncIterator[bytes], declared: str | None, limit: int, hold: Callable[[int], None]
) -> bytes:
    """Return the whole body; no byte past the limit is held.

    Args:
        declared: the header Content-Length, where there is one.
        hold: called with the size of each chunk before it is stored; what it raises passes through.

    Raises:
        RefusedError: 413 beyond the limit, at once where the header says so; 400 where nothing arrives.
    """
    too_large = f"The body is larger than {limit / 1e6:g} MB, the most that is taken."
    if declared is not None and declared.isdecimal() and int(declared) > limit:
        raise RefusedError(413, too_large)
    body = bytearray()
    async for chunk in chunks:
        if len(body) + len(chunk) > limit:
            raise RefusedError(413, too_large)
        hold(len(chunk))
        body += chunk
    if not body:
        raise RefusedError(400, "The body is empty. Send a photograph.")
    return bytes(body)


def body_limit(kind: Kind, params: ServeParams) -> int:
    """Return the most bytes that a body of this kind may have."""
    return params.max_image_bytes if kind is Kind.RAW else params.max_request_bytes


def images_in(kind: Kind, content_type: str, body: bytes, params: ServeParams) -> list[bytes]:
    """Return the images' bytes, at least one and at most ``params.max_images``; whether they are images is not checked.

    Raises:
        RefusedError: 400 where the body is not what its content type says, 413 where there are too many images or
            one is too large, 422 where the images are not where they should be.
    """
    if kind is Kind.RAW:
        return [body]
    return _images_of_form(content_type, body, params) if kind is Kind.FORM else _images_of_json(body, params)


def _too_many(params: ServeParams) -> RefusedError:
    return RefusedError(413, f"A request may have at most {params.max_images} images. Send several requests.")


def _too_large(position: int, params: ServeParams) -> RefusedError:
    return RefusedError(413, f"Image {position} is larger than {params.max_image_mb:g} MB, the most that is taken.")


def _images_of_form(content_type: str, body: bytes, params: ServeParams) -> list[bytes]:
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise RefusedError(400, "The content type multipart/form-data names no boundary.")
    form = _Form(params)
    try:
        parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]
        parser.write(body)
    except FormParserError as error:
        raise RefusedError(400, f"The form cannot be read: {error}.") from None
    if not form.ended:
        raise RefusedError(400, "The form is cut off: its closing boundary is missing.")
    if not form.files:
        raise RefusedError(422, "The form has no file. Add one, for example with curl -F file=@photo.jpg.")
    return [bytes(file) for file in form.files]


class _Form:
    """The listener to a form's parser, which goes through the body."""

    def __init__(self, params: ServeParams) -> None:
        self.files: list[bytearray] = []
        self.ended = False
        self._params = params
        self._header = b""
        self._value = b""
        self._disposition = b""

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._disposition = b""
        if len(self.files) >= self._params.max_images:
            raise _too_many(self._params)

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        # With a star some programs write a name that is not ASCII (RFC 5987), which the parser passes over.
        if b"filename" not in options and b"filename*=" not in self._disposition.lower():
            name = options.get(b"name", b"").decode(errors="replace")[:80]
            raise RefusedError(422, f"The form's field '{name}' is no file. Send files alone.")
        self.files.append(bytearray())

    def _data(self, data: bytes, start: int, end: int) -> None:
        self.files[-1] += memoryview(data)[start:end]
        if len(self.files[-1]) > self._params.max_image_bytes:
            raise _too_large(len(self.files) - 1, self._params)

    def _end(self) -> None:
        self.ended = True


def _images_of_json(body: bytes, params: ServeParams) -> list[bytes]:
    content = parsed_json(body, _expected_json(params))
    if not isinstance(content, dict) or set(content) != {JSON_KEY} or not isinstance(content[JSON_KEY], list):
        raise RefusedError(422, _expected_json(params))
    texts = content[JSON_KEY]
    if not texts:
        raise RefusedError(422, f"The list '{JSON_KEY}' is empty. {_expected_json(params)}")
    if len(texts) > params.max_images:
        raise _too_many(params)
    return [decode_base64(position, text, params) for position, text in enumerate(texts)]


def parsed_json(body: bytes, expected: str) -> Any:
    """Return a JSON body's value; ``expected`` says in a sentence what it should be. Raises RefusedError."""
    body = body.removeprefix(codecs.BOM_UTF8)
    if sum(map(body.count, (b",", b"[", b"{", b":"))) > MAX_JSON_VALUES:
        raise RefusedError(422, f"The JSON holds more values than any request needs. {expected}")
    not_ascii = RefusedError(
        400, "The JSON holds characters beyond ASCII, which base64 does not need. Send base64 alone."
    )
    try:
        # Python takes one to four bytes for every character of a text, by the largest of them.
        text = body.decode("ascii")
    except UnicodeDecodeError:
        raise not_ascii from None
    if _LARGE_ESCAPE.search(text):
        raise not_ascii
    try:
        return json.loads(text)
    except RecursionError:
        raise RefusedError(422, f"The JSON is nested too deep. {expected}") from None
    except json.JSONDecodeError as error:
        raise RefusedError(400, f"The body is not JSON: {error}.") from None
    except ValueError:
        # Of a whole number that Python does not convert, because that takes long.
        raise RefusedError(422, f"The JSON holds a number of thousands of digits. {expected}") from None


def _expected_json(params: ServeParams) -> str:
    return f'Expected {{"{JSON_KEY}": ["<base64>", ...]}} with 1 to {params.max_images} images and nothing else.'


def decode_base64(position: int, text: Any, params: ServeParams) -> bytes:
    """Return the bytes of an image in base64. Raises RefusedError where it is none, or too large."""
    if not isinstance(text, str):
        raise RefusedError(422, f"Image {position} is {_json_name(text)} instead of base64 text.")
    if least_bytes(text) > params.max_image_bytes:
        raise _too_large(position, params)
    try:
        data = base64_bytes(text)
    except NotBase64Error as error:
        raise RefusedError(422, f"Image {position} is not base64: {error}.") from None
    if len(data) > params.max_image_bytes:
        raise _too_large(position, params)
    return data


def _json_name(value: Any) -> str:
    names = {dict: "an object", list: "a list", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
