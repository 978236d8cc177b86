"""data/ under DVC: its hash, and what data set it is, in data.dvc.

    outs:
    - md5: 22a1a2931c8370d3aeedd7183606fd7f.dir
      size: 14445097
      nfiles: 100
      hash: md5
      path: data
    meta:
      dataset: flowers
      licence: CC BY 4.0
      source: flowers.zip

DVC keeps ``meta`` when it updates the file. Equal images give an equal file, byte by byte.
"""

import contextlib
import io
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from graft.core.dvc_rwlock import clear_abandoned_rwlock
from graft.core.errors import GraftError
from graft.core.files import write_file
from graft.core.git import repository_top
from graft.core.outside import path_below
from graft.core.project import Project
from graft.core.yaml_text import read_mapping
from graft.data.folder.dvc_cache import require_images_cached

UNNAMED = "data"
_FILLS_CACHE = ("add", "commit")


def dvc_init(folder: Path) -> str:
    """Return the command that makes a folder a project of DVC: another one below the top of a git repository."""
    top = repository_top(folder)
    return "dvc init" if top is None or top.resolve() == folder.resolve() else "dvc init --subdir"


def require_repository(project: Project) -> None:
    """Raise GraftError where DVC would refuse for want of a git repository, as in a checkout downloaded as a zip."""
    folder = project.root / ".dvc"
    if not folder.is_dir() or any((place / ".git").exists() for place in (project.root, *project.root.parents)):
        return
    config = ConfigParser(interpolation=None, strict=False)
    with contextlib.suppress(ConfigParserError):  # DVC says what is wrong
        config.read([folder / "config", folder / "config.local"], encoding="utf-8")
        if config.getboolean("core", "no_scm", fallback=False):
            return
    raise GraftError(
        f"{project.root} is no git repository (there is no .git in it or above), and DVC works in one",
        f"cd {shlex.quote(str(project.root))} && git init && git add . && git commit -m start; or, without "
        "git: dvc config --local core.no_scm true",
    )


def pointer_file(project: Project) -> Path:
    """Return the path of the file that DVC keeps the hash of data/ in."""
    return project.root / "data.dvc"


def dataset_name(project: Project) -> str:
    """Return the name of the data set in data/, as data.dvc names it; ``"data"`` where nothing does.

    Raises:
        GraftError: data.dvc is there but is not what DVC writes.
    """
    meta = _read(project).get("meta")
    value = meta.get("dataset") if isinstance(meta, dict) else None
    return str(value) if value else UNNAMED


def tracked_hash(project: Project) -> str | None:
    """Return DVC's hash of the images that belong in data/ (``<md5>.dir``), or None where none are tracked.

    Raises:
        GraftError: data.dvc is there but is not what DVC writes.
    """
    for out in _read(project).get("outs") or []:
        if isinstance(out, dict) and out.get("path") == "data":
            return out.get("md5")
    return None


def track(project: Project, meta: Mapping[str, str]) -> None:
    """Put data/ into DVC's cache and its hash, with ``meta``, into data.dvc.

    Args:
        meta: dataset (a name), licence and source, each one line.

    Raises:
        GraftError: DVC refuses; the message gives its reason.
    """
    add(project)
    path = pointer_file(project)
    yaml = YAML()  # with DVC's own settings, so that its next update changes nothing but what changed
    yaml.default_flow_style = False
    before = path.read_text(encoding="utf-8")
    document = yaml.load(before)
    document.pop("meta", None)
    document["meta"] = dict(meta)
    text = io.StringIO()
    yaml.dump(document, text)
    if text.getvalue() != before:
        write_file(path, text.getvalue())


def add(project: Project) -> None:
    """Put data/ as it is now into DVC's cache, and its hash into data.dvc.

    Raises:
        GraftError: DVC refuses, with its reason; or an image did not get into its cache, which DVC takes for success.
    """
    run_dvc(project, "add", "data")


def copy_pointer(project: Project) -> Path | None:
    """Copy data.dvc to where it outlives the next import; return the copy's path, or None where no data is tracked."""
    digest = tracked_hash(project)
    if digest is None:
        return None
    copy = path_below(project.replaced, f"{dataset_name(project)}-{digest[:8]}.dvc", "data.dvc")
    write_file(copy, pointer_file(project).read_bytes())
    return copy


def run_dvc(project: Project, *arguments: str, timeout: float | None = None) -> str:
    """Run a DVC command in the project and return what it printed to standard output.

    A process of its own: DVC's command line is what it promises to keep, and no state of it stays behind.

    Args:
        arguments: of ``dvc``.
        timeout: seconds after which it is ended, for what waits for a network; None for none.

    Raises:
        GraftError: the command ends with an error, and the message gives DVC's reason; or it takes longer than
            ``timeout``; or images did not get into DVC's cache, which DVC takes for success.
    """
    clear_abandoned_rwlock(project.root)
    command = [sys.executable, "-m", "dvc", *arguments]
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=project.root,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise GraftError(
            f"`dvc {' '.join(arguments)}` had not ended after {timeout:g} s in {project.root}, and was ended",
            "Run it by hand to see what it waits for",
        ) from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reasons = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")] or lines[-1:]
        reason = reasons[0] if reasons else f"exit code {done.returncode}"
        raise GraftError(f"`dvc {' '.join(arguments)}` failed in {project.root}: {reason}", _advice(reason, arguments))
    if arguments[0] in _FILLS_CACHE and pointer_file(project).is_file():
        require_images_cached(project)
    return done.stdout


def _advice(reason: str, arguments: tuple[str, ...]) -> str:
    lower = reason.lower()
    if "lock" in lower:
        return "Wait until the other DVC command has ended, then run this one again"
    if "not inside of a dvc repo" in lower:
        return "Run `dvc init` once, and commit the .dvc folder"
    if "no space left" in lower:
        return "Free some space and run the command again"
    return f"Run `dvc {' '.join(arguments)} -v` to see all of what DVC says"


def _read(project: Project) -> dict[str, Any]:
    return read_mapping(pointer_file(project), "Restore it with `git checkout data.dvc`")
