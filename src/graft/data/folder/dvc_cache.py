"""DVC's cache, as files: which images data.dvc names, and whether the cache has them.

DVC ends well also where files did not get into its cache, for want of room or rights: it prints an error, and goes on
(``dvc_data.hashfile.transfer``). Whoever relies on the cache asks here.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graft.core.dvc_lock import outputs_of
from graft.core.errors import GraftError
from graft.core.project import Project
from graft.core.yaml_text import read_yaml

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


def cache_folder(project: Project) -> Path:
    """Return the folder of DVC's cache."""
    from dvc.config import Config

    folder = project.root / ".dvc"
    return Path(Config(str(folder))["cache"].get("dir") or folder / "cache")


def files_named(cache: Path, text: str) -> dict[str, str] | None:
    """Return the MD5 of each file, by path below data/, of the data set that the text of a data.dvc names.

    None where the cache lacks the list of files.
    """
    md5 = pointed_at(text).get("md5")
    return listed_files(cached_object(cache, text, md5)) if md5 else None


def listed_files(place: Path) -> dict[str, str] | None:
    """Return the MD5 of each file of a folder, by path, as a list of DVC's cache has them (``<md5>.dir``).

    None where the list is missing or damaged.
    """
    try:
        return {row["relpath"]: row["md5"] for row in json.loads(place.read_text(encoding="utf-8"))}
    except (OSError, KeyError, TypeError, ValueError):
        return None


def cached_object(cache: Path, text: str, md5: str) -> Path:
    """Return where the cache has the file of an MD5 that the text of a data.dvc names.

    Raises:
        GraftError: it is no MD5.
    """
    if not _MD5.fullmatch(md5):
        raise GraftError(f"data.dvc names {md5[:80]!r} where an MD5 belongs", "Restore it with git")
    return _place(cache, pointed_at(text), md5)


def require_images_cached(project: Project) -> None:
    """Pass where DVC's cache has every image that data.dvc names.

    Raises:
        GraftError: it lacks some, or the list of them.
    """
    text = (project.root / "data.dvc").read_text(encoding="utf-8")
    cache = cache_folder(project)
    files = files_named(cache, text)
    missing = [name for name, md5 in (files or {}).items() if not cached_object(cache, text, md5).is_file()]
    if files is None or missing:
        what = f"{len(missing)} images, such as {missing[0]}," if missing else "the list of images"
        raise GraftError(
            f"DVC could not put {what} into its cache {cache}",
            "Make room there, and see that it can be written; then run the command again",
        )


def outputs_not_cached(project: Project) -> list[str]:
    """Return the outputs that dvc.lock names and DVC's cache lacks, by path; files in folders too.

    Those that are left to git (``cache: false``) are among them.
    """
    cache, missing = cache_folder(project), []
    for out in [out for outs in outputs_of(project).values() for out in outs]:
        place = _place(cache, out, out["md5"])
        files = listed_files(place) if out["md5"].endswith(".dir") else {}
        if files is None or not place.is_file():
            missing.append(out["path"])
        else:
            absent = [name for name, md5 in files.items() if not _place(cache, out, md5).is_file()]
            missing += [f"{out['path']}/{name}" for name in absent]
    return missing


def _place(cache: Path, out: Mapping[str, Any], md5: str) -> Path:
    # DVC 2 wrote no name of the hash, and has no folder for it.
    folder = cache / "files" / "md5" if out.get("hash") == "md5" else cache
    return folder / md5[:2] / md5[2:]


def pointed_at(text: str) -> dict[str, Any]:
    """Return what the text of a data.dvc points at: md5, path and so on; empty where it names nothing."""
    document = read_yaml(text, "data.dvc", "Restore it with `git checkout data.dvc`")
    outs = document.get("outs") if isinstance(document, dict) else None
    return outs[0] if outs else {}
