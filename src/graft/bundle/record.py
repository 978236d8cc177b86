"""The record that a bundle keeps of itself: a SHA-256 of each of its files, in its model.json.

Files that were cut off, mixed up or changed after the model was written are noticed before any of them is loaded.
Who may write here may write the record too, so this is against damage; against malice, graft compares a hash of the
whole with the one that MLflow's database keeps (:mod:`graft.registry.store.logged_models`).
"""

import hashlib
import json
from pathlib import Path
from typing import Any

SETTINGS_FILE = "model.json"
FILES = "files"


class ChangedModelError(ValueError):
    """A bundle is not what was written; the message names the first file in question."""


def write_settings(bundle: Path, settings: dict[str, Any]) -> None:
    """Write the bundle's model.json: ``settings``, and a record of all other files, which are in place by now."""
    recorded = {**settings, FILES: hashes(bundle)}
    (bundle / SETTINGS_FILE).write_text(json.dumps(recorded, indent=1), encoding="utf-8")


def read_settings(bundle: Path) -> dict[str, Any]:
    """Return a bundle's model.json; the files are not looked at.

    Raises:
        ChangedModelError: it is damaged.
        OSError: it is missing, or cannot be read.
    """
    path = bundle / SETTINGS_FILE
    try:
        settings = json.loads(path.read_bytes())
        if not all(isinstance(name, str) for name in settings["classes"]) or not isinstance(settings, dict):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        problem = f"{path.name} is cut off, or no record"
        raise ChangedModelError(f"The model in {bundle} was changed or damaged: {problem}") from None
    return settings


def read_checked(bundle: Path) -> dict[str, Any]:
    """Return a bundle's model.json, once every file is found to be as it records.

    Raises:
        ChangedModelError: a file is changed, missing or not recorded, or there is no record.
    """
    settings = read_settings(bundle)
    if not isinstance(settings.get(FILES), dict):
        raise ChangedModelError(f"{bundle / SETTINGS_FILE} has no record of the model's files: an older graft wrote it")
    recorded, found = settings[FILES], hashes(bundle)
    for name in sorted({*recorded, *found}):
        if name not in found:
            problem = "is missing"
        elif name not in recorded:
            problem = "does not belong there"
        elif found[name] != recorded[name]:
            problem = "is not as it was written"
        else:
            continue
        raise ChangedModelError(f"The model in {bundle} was changed or damaged: {name} {problem}")
    return settings


def hashes(bundle: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in a bundle but its own model.json, hexadecimal, by path with forward slashes."""
    own = bundle / SETTINGS_FILE
    files = sorted(path for path in bundle.rglob("*") if path.is_file() and path != own)
    return {path.relative_to(bundle).as_posix(): sha256(path) for path in files}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
