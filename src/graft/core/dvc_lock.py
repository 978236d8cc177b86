"""Read which outputs DVC has recorded in dvc.lock."""

from typing import Any

from graft.core.project import Project
from graft.core.yaml_text import read_mapping, read_yaml

_RESTORE = "Restore it with `git checkout dvc.lock`"


def outputs_of(project: Project) -> dict[str, list[dict[str, Any]]]:
    """Return the outputs of each stage that has run here, by its name.

    Raises:
        GraftError: the file is not what DVC writes.
    """
    return _outputs(read_mapping(project.root / "dvc.lock", _RESTORE))


def locked_outputs(text: str) -> dict[str, list[dict[str, Any]]]:
    """Return the outputs of each stage by its name, as the text of an earlier dvc.lock has them."""
    return _outputs(read_yaml(text, "dvc.lock", _RESTORE) or {})


def _outputs(content: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {str(name): stage.get("outs") or [] for name, stage in (content.get("stages") or {}).items()}
