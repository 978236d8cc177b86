"""Read what stage choose filled in for a strategy, and say settings in words."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SETTINGS_FOLDER = "settings"


def settings_file(folder: Path, strategy: str) -> Path:
    """Return where the values for one strategy lie; ``folder`` has the stage's outputs."""
    return folder / SETTINGS_FOLDER / f"{strategy}.json"


def read_chosen(folder: Path, strategy: str) -> dict[str, Any]:
    """Return the values that stage choose filled in for a strategy; none where it has not run."""
    try:
        found = json.loads(settings_file(folder, strategy).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    assert isinstance(found, dict)
    return found


def settings_in_words(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return settings as names and values; what is off, or nothing, is left out."""
    found = []
    for key, value in settings.items():
        if value in (None, "none", "auto", [], {}, False):
            continue
        if isinstance(value, Mapping):
            found += [(f"{key}.{inner}", text) for inner, text in settings_in_words(value)]
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for number, part in enumerate(value, 1):
                one = f"{key}.{number}" if len(value) > 1 else key
                found += [(f"{one}.{inner}", text) for inner, text in settings_in_words(part)]
        else:
            found.append((key, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return found
