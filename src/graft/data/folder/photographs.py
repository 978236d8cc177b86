"""Distinguish photographs from what else lies in folders, archives and deliveries: notes, films, systems' leftovers."""

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from graft.bundle.images import START_BYTES, SUFFIXES, is_image_start
from graft.core.errors import GraftError

# Pictures and films that graft does not read. Raw files of cameras begin as TIFF does, and hold a small preview only.
UNREAD = frozenset(
    {".raw", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".orf", ".rw2", ".rwl", ".raf"}
    | {".pef", ".srw", ".3fr", ".iiq", ".erf", ".kdc", ".dcr", ".mrw", ".mef", ".mos", ".x3f", ".gpr", ".fff"}
    | {".jxl", ".psd", ".svg", ".tga", ".dcm", ".xcf", ".eps", ".ai", ".exr", ".hdr", ".ico"}
    | {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".3gp", ".mts", ".mpg", ".mpeg", ".wmv"}
)
# What people write about photographs, never opened: there may be one for each.
NOTES = frozenset(
    {".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".html", ".htm", ".xmp", ".aae"}
    | {
        ".pdf",
        ".doc",
        ".docx",
        ".odt",
        ".rtf",
        ".xls",
        ".xlsx",
        ".ods",
        ".ini",
        ".log",
        ".db",
        ".url",
        ".lnk",
        ".py",
        ".m",
    }
    | {".mat", ".ipynb", ".sh", ".bib"}
    | {".part", ".partial", ".crdownload", ".filepart", ".tmp"}  # downloads that are not whole
)
_NEVER_OPENED = UNREAD | NOTES
LEFTOVER = "left behind by a system"  # as a reason why something is left out
# Of Windows, macOS, Linux, Android, and of Synology's, QNAP's and NetApp's disks; lower case.
_LEFTOVERS = frozenset(
    {"$recycle.bin", "system volume information", "config.msi", "$extend", "msdownld.tmp"}
    | {"thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini"}
    | {
        "__macosx",
        "ds_store",
        "_ds_store",
        "icon\r",
        "network trash folder",
        "temporary items",
        "thevolumesettingsfolder",
    }
    | {"spotlight-v100", "fseventsd", "temporaryitems", "appledouble", "documentrevisions-v100"}
    | {"lost+found", "lost.dir", "zbthumbnail.info", "__pycache__"}
    | {
        "@eadir",
        "#recycle",
        "#snapshot",
        "@recycle",
        "@recently-snapshot",
        "@__thumb",
        "@sharebin",
        "@tmp",
        "~snapshot",
    }
)
_LEFTOVER_FORMS = re.compile(
    r"found\.\d{3}|trash-\d+|~\$.*|.*@syno(resource|eastream)|.*:zone\.identifier", re.IGNORECASE
)


def is_leftover(name: str) -> bool:
    """Return whether a file or folder of that name is hidden, or left behind by a system or a disk on the network."""
    return name.startswith(".") or name.lower() in _LEFTOVERS or _LEFTOVER_FORMS.fullmatch(name) is not None


def is_image_name(name: str) -> bool | None:
    """Return whether a file is an image, going by its suffix; None where its first bytes have to tell."""
    suffix = suffix_of(name)
    return True if suffix in SUFFIXES else False if suffix in _NEVER_OPENED else None


def is_image_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a file on the disk is an image, going by its suffix, or where that says nothing, its first bytes.

    Hidden files and what systems leave behind are none, nor is what would have to be opened and cannot be.
    """
    name = os.path.basename(path)  # noqa: PTH119
    by_name = is_image_name(name) if not is_leftover(name) else False
    if by_name is not None:
        return by_name
    try:
        if not os.path.isfile(path):  # noqa: PTH113  # a named pipe would be read for ever
            return False
        with open(path, "rb") as stream:  # noqa: PTH123
            return is_image_start(stream.read(START_BYTES))
    except OSError:
        return False


def images_among(
    names: Collection[str], read: Callable[[Collection[str]], Iterable[tuple[str, Iterator[bytes]]]]
) -> list[str]:
    """Return which of ``names`` are images, going by their suffixes, and where these say nothing, by their first bytes.

    Args:
        read: gives the bytes of the files so named, in pieces.
    """
    found = {name: is_image_name(name) for name in names}
    if unsure := [name for name, is_image in found.items() if is_image is None]:
        for name, pieces in read(unsure):
            found[name] = is_image_start(next(iter(pieces), b"")[:START_BYTES])
    return [name for name in names if found[name]]


def is_in_dvc_cache(path: Path) -> bool:
    """Return whether a path is called as DVC calls what it keeps, in a project or in a cache that many share.

    With ``cache.type`` symlink, DVC puts links to such files into data/.
    """
    return re.fullmatch(r"[0-9a-f]{2}/[0-9a-f]{30}", "/".join(path.parts[-2:])) is not None


def no_notes(names: Iterable[str], images: Collection[str]) -> list[str]:
    """Return which of ``names``, files that are no images, somebody may have meant as pictures.

    A note has a note's suffix, or is called as an image beside it: 1.mov and 1.jpg.npy beside 1.jpg.
    """
    beside = {*images, *(_split(image)[0] for image in images)}
    return [name for name in names if suffix_of(name) not in NOTES and _split(name)[0] not in beside]


def suffix_of(name: str) -> str:
    """Return the suffix of a file in lower case, ``""`` where it has none."""
    return _split(name)[1].lower()


def _split(name: str) -> tuple[str, str]:
    return os.path.splitext(name)  # noqa: PTH122 - a fifth of pathlib's time


def by_suffix(names: Iterable[str]) -> str:
    """Return how many files there are of each suffix, the most frequent first: "100 .mov, 9 .txt"."""
    kinds = Counter(suffix_of(name) or "without suffix" for name in sorted(names))
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())


def images_below(folder: Path) -> Iterator[Path]:
    """Yield the image files in a folder and below it, hidden ones and leftovers passed over, in a fixed order.

    Links to folders are not followed. No more than the names of one folder are held in memory.

    Raises:
        GraftError: there are none.
    """
    found = False
    for here, subfolders, files in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not is_leftover(name))
        for name in sorted(files):
            if is_image_file(Path(here) / name):
                found = True
                yield Path(here) / name
    if not found:
        raise GraftError(f"The folder {folder} holds no images", f"Those end in {', '.join(sorted(SUFFIXES))}")
