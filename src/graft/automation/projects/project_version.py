"""The version of graft that a project's files and results are of, in a tracked file that its stages depend on.

A checkout of graft has no such file: its stages depend on the code itself.
"""

from graft import __version__
from graft.core.errors import GraftError
from graft.core.project import Project

VERSION_FILE = "graft.version"


def project_version(project: Project) -> str | None:
    """Return the version that the project is of, or None for a checkout of graft."""
    try:
        return (project.root / VERSION_FILE).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def require_own_version(project: Project) -> None:
    """Pass where the project is of the graft that runs here, or is a checkout of it.

    Raises:
        GraftError: it is of another version.
    """
    version = project_version(project)
    if version not in (None, __version__):
        raise GraftError(
            f"The project {project.root.name} is of graft {version}, and {__version__} is installed",
            f"Bring its files up to date with `graft upgrade`, or install graft {version}",
        )
