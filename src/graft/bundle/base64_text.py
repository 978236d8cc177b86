"""Bytes from base64 as programs write it: in lines, for URLs, without padding, or in a data URL."""

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

# RFC 2397: data:[<type>][;<attribute>=<value>][;base64],<data>
_DATA_URL = re.compile(r"\s*data:(?P<about>[^,]{0,200}),", re.IGNORECASE)
_BLANK_WITHIN = re.compile(r"\S +\S")
_FOREIGN = re.compile(r"[^A-Za-z0-9+/]")
_PLAIN = str.maketrans("-_", "+/", "\r\n\t ")
_ADDRESS = re.compile(r"\s*[a-z]{2,10}://", re.IGNORECASE)


class NotBase64Error(ValueError):
    """Text is not base64; the message says why in a few words."""


def base64_bytes(text: str) -> bytes:
    """Return the bytes that base64 text stands for (RFC 4648).

    Taken are line breaks (section 3.1, and MIME), the alphabet for URLs (section 5), text without its padding, and
    data URLs (RFC 2397), also where ``+``, ``/`` and ``=`` are escaped as ``%2B`` and so on. A blank within a line is
    refused: forms make one of a ``+``, and without it other bytes would come out.

    Raises:
        NotBase64Error: it is none of these.
    """
    try:
        return base64.b64decode(text, validate=True)  # nearly always
    except (binascii.Error, ValueError):
        pass
    if url := _DATA_URL.match(text):
        if not url["about"].replace(" ", "").lower().endswith(";base64"):
            raise NotBase64Error("a data URL whose data is in another form: it lacks ';base64' before its comma")
        text = text[url.end() :]
    elif _ADDRESS.match(text):
        raise NotBase64Error("it is an address, not the bytes of what lies there")
    if "%" in text:
        text = unquote_to_bytes(text).decode("ascii", errors="replace")
    if _BLANK_WITHIN.search(text):
        raise NotBase64Error("it has a blank within a line, as forms make of a '+'")
    letters = text.translate(_PLAIN).rstrip("=")
    if foreign := _FOREIGN.search(letters):
        joined = "padding ('=') stands in the middle, as where two texts were joined"
        raise NotBase64Error(joined if foreign[0] == "=" else f"it has {foreign[0]!r} in it")
    if len(letters) % 4 == 1:
        raise NotBase64Error(f"it is cut off: {len(letters)} letters make no whole number of bytes")
    return base64.b64decode(letters + "=" * (-len(letters) % 4))


def least_bytes(text: str) -> int:
    """Return how many bytes :func:`base64_bytes` makes of a text at least, without making them."""
    beside = 250 + sum(map(text.count, "\r\n\t =")) + 2 * text.count("%")  # 250: what stands before a data URL's data
    return 3 * max(0, len(text) - beside) // 4
