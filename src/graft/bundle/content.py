"""Name, by its first bytes, what a file holds that is no image graft reads."""

import re
from pathlib import Path

from .base64_text import NotBase64Error, base64_bytes

LOOKED_AT = 1024  # bytes of the start that decide
_STARTS = (
    (b"version https://git-lfs", "a Git LFS pointer: `git lfs pull` fetches the file itself"),
    (b"# xet version", "a pointer of Xet storage: `git xet` or `hf download` fetches the file itself"),
    (b"[InternetShortcut]", "a shortcut of Windows (.url), not the file it leads to"),
    (b"%PDF-", "a PDF document"),
    (b"\x89HDF", "an HDF5 file"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"PAR1", "a Parquet file"),
    (b"8BPS", "a Photoshop file"),
    (b"gimp xcf", "a GIMP file"),
    (b"%!PS", "a PostScript file"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file"),
    (b"\0\0\2\0\0\0", "a Targa image (.tga), which graft does not read"),
    (b"\0\0\1\0", "an icon"),
    (b"\0\0\2\0", "a cursor"),
    (b"icns", "an icon of macOS"),
    (b"P7\n", "a PAM image, which graft does not read"),
    (b"PF\n", "a PFM image, which graft does not read"),
    (b"Pf\n", "a PFM image, which graft does not read"),
    (b"qoif", "a QOI image, which graft does not read"),
    (b"\x0a\5\1\x08", "a PCX image, which graft does not read"),
    (b"\1\xda\0\1", "an SGI image, which graft does not read"),
    (b"\1\xda\1\1", "an SGI image, which graft does not read"),
    (b"\xff\x0a", "a JPEG XL image, which graft does not read"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image, which graft does not read"),
    (b"FUJIFILMCCD-RAW", "a camera's raw file, which graft does not read"),
    (b"IIRO", "a camera's raw file, which graft does not read"),
    (b"IIU\0", "a camera's raw file, which graft does not read"),
    (b"FOVb", "a camera's raw file, which graft does not read"),
    (b"\x76\x2f\x31\x01", "an OpenEXR image, which graft does not read"),
    (b"#?RADIANCE", "a Radiance image, which graft does not read"),
    (b"SIMPLE  =", "a FITS image, which graft does not read"),
    (b"DDS ", "a DirectDraw texture, which graft does not read"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"bplist00", "a property list of macOS"),
    (b"\0\5\x16\7", "the attributes of a file of macOS (AppleDouble), not the file itself"),
    (b"\0\5\x16\0", "the attributes of a file of macOS (AppleSingle)"),
    (b"PK\3\4", "a zip archive"),
    (b"PK\5\6", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\7", "a RAR archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document or thumbnails of Windows"),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM film"),
    (b"\0\0\1\xba", "an MPEG film"),
    (b"ID3", "an MP3 sound"),
    (b"\x7fELF", "a program"),
    (b"HTTP/1.", "a server's answer with its headers"),
    (b"!<symlink>", "a link of Cygwin, not the file it leads to"),
    (b"L\0\0\0\1\x14\2\0", "a link of Windows (.lnk), not the file it leads to"),
)
_MARKS_AT = ((128, b"DICM", "a DICOM image, which graft does not read"), (257, b"ustar", "a tar archive"))
_RIFF = {b"AVI ": "an AVI film", b"WAVE": "a WAV sound"}
_HTML = re.compile(rb"(?:\s|<!--.*?-->|<\?xml.*?\?>)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_SVG = re.compile(rb"(?:\s|<!--.*?-->|<\?xml.*?\?>|<!doctype svg.*?>)*<svg\b", re.IGNORECASE | re.DOTALL)
_PATH = re.compile(r"[^\s<>{}]{0,400}[/\\][^\s<>{}]{1,200}\.\w{2,5}")
_ADDRESS = re.compile(r"https?://\S+")


def content_name(data: bytes) -> str:
    """Return what a file holds in a few words, such as ``"an HTML page"``; ``""`` where its start tells nothing.

    Args:
        data: the file, or :data:`LOOKED_AT` bytes of its start.
    """
    start = data[:LOOKED_AT]
    for mark, name in _STARTS:
        if start.startswith(mark):
            return name
    for position, mark, name in _MARKS_AT:
        if start[position:].startswith(mark):
            return name
    if start[4:8] == b"ftyp":
        if start[8:12] == b"crx ":
            return "a camera's raw file, which graft does not read"
        return "a film (MP4 or QuickTime), such as an iPhone writes beside a photograph"
    if start[:4] == b"RIFF" and start[8:12] in _RIFF:
        return _RIFF[start[8:12]]
    if start and not start.strip(b"\0"):
        return "zeros alone, as a copy or download that broke off leaves behind"
    return _name_of_text(start)


def but_it_is(source: bytes | Path) -> str:
    """Return ``", but an HTML page"`` and the like, to follow what a file should have been; ``""`` where nothing tells.

    Args:
        source: the file's bytes, or its path.
    """
    if isinstance(source, Path):
        try:
            with source.open("rb") as stream:
                source = stream.read(LOOKED_AT)
        except OSError:
            return ""
    name = content_name(source)
    return f", but {name}" if name else ""


def _name_of_text(start: bytes) -> str:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = start[: len(start) // 2 * 2].decode("utf-16", errors="replace")
    else:
        try:
            text = start.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            if error.start < len(start) - 3 or len(start) < LOOKED_AT:  # else a letter that was cut in two
                return ""
            text = start[: error.start].decode("utf-8-sig")
    if not text or any(ord(letter) < 32 and letter not in "\t\n\r\f" for letter in text):
        return ""
    plain = text.encode()
    if _HTML.match(plain):
        return "an HTML page, such as a site's error or login page"
    if _SVG.match(plain):
        return "an SVG drawing, which graft does not read"
    line = text.strip()
    if line.startswith("<"):
        return "XML, such as a server's error"
    if line.startswith("outs:") and "md5:" in line:
        return "a DVC pointer: `dvc pull` fetches the file itself"
    if line.startswith(("{", "[")):
        return "JSON, such as a server's error"
    if _ADDRESS.fullmatch(line):
        return "an address, not the file that it leads to"
    if "annex/objects/" in line:
        return "a git-annex pointer: `git annex get` fetches the file itself"
    if _PATH.fullmatch(line):
        return "a path, as git writes for a link, not the file that it leads to"
    if _is_base64(line):
        return "base64 text, not the bytes that it stands for"
    return "text"


def _is_base64(text: str) -> bool:
    if len(text) < 40 and not text.startswith("data:"):
        return False
    whole = text.rstrip("=") if len(text) < LOOKED_AT - 8 else text[: len(text) // 4 * 4]
    try:
        return bool(base64_bytes(whole))
    except NotBase64Error:
        return False
