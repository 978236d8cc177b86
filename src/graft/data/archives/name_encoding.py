"""Read names in archives and folders that older programs wrote in their country's encoding, not in UTF-8."""

import codecs
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from graft.core.errors import GraftError

# Of Windows and DOS in China, Japan, Taiwan and Korea, then western Europe and Cyrillic script.
_COMMON = ("gbk", "shift_jis", "big5", "euc_kr", "cp437", "cp850", "cp1252", "cp866", "cp1251")
# What programs write under these names is Windows' own, which has more letters.
_WIDER = {"shift_jis": "cp932", "euc_kr": "cp949", "gb2312": "gbk"}
_IS_UTF_8 = 0x800  # APPNOTE.TXT 4.4.4, bit 11
_UNICODE_PATH = 0x7075  # APPNOTE.TXT 4.6.9


def encoding_of(names: Iterable[bytes], encoding: str | None, path: Path) -> str:
    """Return the encoding that names are read in: the one given, else UTF-8.

    Args:
        names: as they are written.
        encoding: as Python calls it, or None.
        path: what they stand in, for messages.

    Raises:
        GraftError: there is no such encoding, or a name cannot be read in it; how it would read in others.
    """
    chosen = _python_name(encoding) if encoding else "utf-8"
    for name in names:
        if not _reads(name, chosen):
            readings: dict[str, list[str]] = {}
            for code in _COMMON:
                readings.setdefault(_reads(name, _python_name(code)), []).append(code)
            words = ", ".join(f"as {' or '.join(codes)} {reads!r}" for reads, codes in readings.items() if reads)
            raise GraftError(
                f"{path}: {ascii(name)[1:]} is not a name in {encoding or 'UTF-8'}"
                + f"; it reads {words}" * bool(words),
                f"Import it with the encoding that reads right, such as --encoding {_COMMON[0]}, or unpack it where "
                "its names read right and name the folder",
            )
    return chosen


def read_name(name: str, encoding: str | None, path: Path) -> str:
    """Return a name that Python has read as UTF-8, where it was not, in its own encoding. Raises as above."""
    if not re.search(r"[\udc80-\udcff]", name):
        return name
    raw = name.encode("utf-8", "surrogateescape")
    return raw.decode(encoding_of([raw], encoding, path))


def names_in_zip(infos: list[zipfile.ZipInfo], encoding: str | None, guess: bool, path: Path) -> list[str]:
    """Return the names of a zip file's members, as their flag, their Unicode path, or else ``encoding`` says.

    Args:
        guess: whether names that are not UTF-8 are read as the format says where it says nothing, in code page 437,
            and not refused.

    Raises:
        GraftError: see :func:`encoding_of`.
    """
    # zipfile has read them in code page 437, in which every byte is a letter.
    raw = {
        number: info.orig_filename.encode("cp437")
        for number, info in enumerate(infos)
        if not info.flag_bits & _IS_UTF_8 and not info.orig_filename.isascii()
    }
    declared = {
        number: name for number, written in raw.items() if (name := _unicode_path(infos[number].extra, written))
    }
    others = [name for number, name in raw.items() if number not in declared]
    if guess and not all(_reads(name, "utf-8") for name in others):
        encoding = "cp437"
    chosen = encoding_of(others, encoding, path)
    read = {number: name.decode(chosen) for number, name in raw.items() if number not in declared} | declared
    return [read.get(number, info.orig_filename) for number, info in enumerate(infos)]


def _python_name(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)  # base64 and its like are no encodings of text
    except (LookupError, ValueError):
        raise GraftError(f"There is no encoding {encoding!r}", f"Name one, such as {', '.join(_COMMON)}") from None
    return _WIDER.get(name, name)


def _reads(name: bytes, encoding: str) -> str:
    try:
        return name.decode(encoding)
    except UnicodeDecodeError:
        return ""


def _unicode_path(extra: bytes, name: bytes) -> str:
    """Return the name in UTF-8 that Info-ZIP stores beside one in another encoding, where it still belongs to that."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and field[:1] == b"\1" and field[1:5] == struct.pack("<I", zlib.crc32(name)):
            return _reads(field[5:], "utf-8")
    return ""
