import base64
import re
from urllib.parse import quote

import pytest

from graft.bundle.base64_text import NotBase64Error, base64_bytes, least_bytes

DATA = bytes.fromhex("fbefbefff7") * 40  # has a + and a / in it, and its length needs padding
PLAIN = base64.b64encode(DATA).decode()
FORMS = {
    "plain": PLAIN,
    "without padding": PLAIN.rstrip("="),
    "lines": base64.encodebytes(DATA).decode(),
    "lines of Windows": base64.encodebytes(DATA).decode().replace("\n", "\r\n"),
    "lines that are indented": "\n    ".join(PLAIN[i : i + 60] for i in range(0, len(PLAIN), 60)),
    "blanks around": f"  {PLAIN}\n\n",
    "for URLs": base64.urlsafe_b64encode(DATA).decode(),
    "for URLs, without padding": base64.urlsafe_b64encode(DATA).decode().rstrip("="),
    "a data URL": f"data:image/jpeg;base64,{PLAIN}",
    "a data URL with more": f"DATA:image/jpeg;name=a.jpg;charset=utf-8;BASE64,{PLAIN}",
    "a data URL without a type": f"data:;base64,{PLAIN}",
    "a data URL in lines": f"data:image/png;base64,\n{base64.encodebytes(DATA).decode()}",
    "escaped": quote(PLAIN, safe=""),
    "a data URL that is escaped": f"data:image/png;base64,{quote(PLAIN, safe='')}",
}
NOT = {
    "padding in the middle": (PLAIN + PLAIN, "padding .* in the middle, as where two texts were joined"),
    "a + that became a blank": (PLAIN.replace("+", " "), "a blank within a line, as forms make of a '\\+'"),
    "a letter short": (PLAIN.rstrip("=")[:-2], "it is cut off: 265 letters"),
    "an address": ("http://localhost/photo.png", "it is an address, not the bytes"),
    "a name": ("photo.jpg", r"it has '\.' in it"),
    "not ASCII": ("ä" * 8, "it has 'ä' in it"),
    "escaped otherwise": ("%C3%A4" * 4, "it has "),
    "a data URL of text": ("data:image/svg+xml,%3Csvg/%3E", "lacks ';base64' before its comma"),
    "a data URL without data": ("data:image/png;base64", "it has ':' in it"),
}


@pytest.mark.parametrize("form", FORMS)
def test_case_16_base64_is_read_as_programs_write_it(form: str) -> None:
    assert base64_bytes(FORMS[form]) == DATA
    assert least_bytes(FORMS[form]) <= len(DATA)


@pytest.mark.parametrize("form", NOT)
def test_case_16_what_is_not_base64_is_refused_by_name(form: str) -> None:
    text, reason = NOT[form]
    with pytest.raises(NotBase64Error, match=reason):
        base64_bytes(text)


def test_case_16_a_size_is_known_before_the_bytes_are_made() -> None:
    long = base64.encodebytes(bytes(100_000)).decode()
    assert 99_000 < least_bytes(long) <= 100_000
    assert not re.search(r"\s", PLAIN) and least_bytes("\n" * 1_000_000) == 0
