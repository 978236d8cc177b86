"""Names for the shell to complete, read from files alone: a key press must not wait for MLflow or TensorFlow.

Where something cannot be read there is nothing to complete; the command itself will say what is wrong.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graft.core.errors import GraftError
from graft.core.project import Project, find_project

_GRAFT = Path(__file__).parents[1]


def stages(incomplete: str) -> list[str]:
    """Return the names of the pipeline's stages."""
    from graft.automation.run_pipeline import stage_names

    with contextlib.suppress(GraftError, OSError):
        return stage_names(find_project())
    return []


def qualities(incomplete: str) -> list[str]:
    """Return what choose.quality may be."""
    return ["fast", "good", "best"]


def data_sets(incomplete: str) -> list[str]:
    """Return the names of the catalogue's data sets."""
    return list(_yaml(_GRAFT / "data" / "sources" / "catalogue.yaml"))


def recipes(incomplete: str) -> list[str]:
    """Return the names of the recipes."""
    return sorted(path.stem for path in (_GRAFT / "core" / "recipes").glob("*.yaml"))


def models(incomplete: str) -> list[str]:
    """Return ``models:/NAME@ALIAS`` for each alias in the project's own registry."""
    return [f"models:/{name}@{alias}" for name, alias in _ask("SELECT name, alias FROM registered_model_aliases")]


def evaluated(incomplete: str) -> list[str]:
    """Return the names of what is evaluated, and the aliases of the registry."""
    from graft.registry.aliases import CHALLENGER, CHAMPION

    with contextlib.suppress(GraftError, OSError):
        folder = find_project().artifacts("evaluate") / "predictions"
        return [*sorted(path.stem for path in folder.glob("*.csv")), CHALLENGER, CHAMPION]
    return []


def strategies(incomplete: str) -> list[str]:
    """Return the names of the strategies in params.yaml."""
    with contextlib.suppress(GraftError):
        train = _yaml(find_project().params_file).get("train")
        found = train.get("strategies") if isinstance(train, dict) else None
        return list(found) if isinstance(found, dict) else []
    return []


def versions(incomplete: str) -> list[str]:
    """Return the versions in the project's own registry, the latest first."""
    question = "SELECT DISTINCT version FROM model_versions WHERE status = 'READY' ORDER BY version DESC"
    return [str(version) for (version,) in _ask(question)]


def _yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, empty where it holds none."""
    from graft.core.yaml_text import read_mapping

    with contextlib.suppress(OSError, GraftError):
        return read_mapping(path, "")
    return {}


def _ask(question: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of MLflow's database, read without MLflow; of a server's nothing."""
    import sqlite3

    from graft.core.sqlite_file import open_sqlite

    with contextlib.suppress(GraftError, sqlite3.Error):
        path = _database(find_project())
        if path is None:
            return
        with contextlib.closing(open_sqlite(Path(path), "ro", timeout=0.2)) as database:
            yield from database.execute(question).fetchall()


def _database(project: Project) -> str | None:
    uri = project.tracking_uri
    return uri.removeprefix("sqlite:///") if uri.startswith("sqlite:///") else None
