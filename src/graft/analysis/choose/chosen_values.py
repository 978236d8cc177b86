"""Read what stage choose filled in for a strategy."""

import json
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
