"""The files that `graft init` writes into a project: those of graft's own repository, where code becomes a version.

::

    in a checkout   params.yaml, dvc.yaml, pipelines/ ... as they lie in the repository
    in a wheel      the same files, copied by setup.py into the folder ``files`` beside this module
"""

import re
from pathlib import Path

from graft import __version__
from graft.automation.projects.project_version import VERSION_FILE

COPIED = ("params.yaml", "dvc.yaml", "prefect.yaml", ".gitignore", ".dvcignore")
FLOWS = "pipelines"
_PACKED = Path(__file__).parent / "files"
_CHECKOUT = Path(__file__).parents[4]
_README = Path(__file__).parent / "project_readme.md"
# What the repository's dvc.yaml says of its lists of code, and what is true in a project.
_ABOUT_CODE = re.compile(r"# A stage depends on all code.*?imports\.\n", re.DOTALL)
_ABOUT_VERSION = f"""# A stage depends on graft's version, in {VERSION_FILE}. `graft upgrade` renews that file, and
# what another version made is made again.
"""


def generated_files(name: str) -> dict[str, str]:
    """Return what a project consists of before it has data: text by path.

    Args:
        name: of the project, for its README.
    """
    source = _PACKED if _PACKED.is_dir() else _CHECKOUT
    flows = [f"{FLOWS}/{path.name}" for path in sorted((source / FLOWS).glob("*.py"))]
    files = {path: (source / path).read_text(encoding="utf-8") for path in (*COPIED, *flows)}
    files["dvc.yaml"] = pipeline_for_projects(files["dvc.yaml"])
    files["README.md"] = _README.read_text(encoding="utf-8").replace("NAME", name)
    files[VERSION_FILE] = f"{__version__}\n"
    return files


def pipeline_for_projects(text: str) -> str:
    """Return the repository's dvc.yaml such that stages depend on graft's version in the place of its code."""
    lines: list[str] = []
    has_version = False
    for line in _ABOUT_CODE.sub(_ABOUT_VERSION, text).splitlines():
        if line.strip() == "deps:":
            has_version = False
        if line.lstrip().startswith("- src/"):
            if not has_version:
                lines.append(f"{line[: line.index('-')]}- {VERSION_FILE}")
            has_version = True
            continue
        lines.append(line)
    return "\n".join(lines) + "\n"
