"""A project after its first run, for the tests of whole retrainings."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from quick import in_this_process, make_quick_project
from small_project import copied

from graft.core.project import Project


@pytest.fixture(scope="session")
def made_quick_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after its first run, with a champion; to be copied."""
    return make_quick_project(tmp_path_factory.mktemp("quick") / "project")


@pytest.fixture
def quick_project(made_quick_project: Project, tmp_path: Path) -> Iterator[Project]:
    """A copy of it, with stand-ins for pipeline and registry."""
    with in_this_process():
        yield copied(made_quick_project, tmp_path / "project")
