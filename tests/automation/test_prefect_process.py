"""Prefect's tables, copied from a template that nobody else can have written."""

import os
from pathlib import Path

import pytest

from graft.automation import prefect_process
from graft.automation.prefect_process import is_own, provide_database, sqlite_file


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "cache/3.db"
    path.parent.mkdir()
    path.write_bytes(b"tables")
    path.chmod(0o600)
    return path


def test_a_new_database_is_a_private_copy(template: Path, tmp_path: Path) -> None:
    database = tmp_path / "home/prefect.db"
    provide_database(database, template)
    assert database.read_bytes() == b"tables"
    assert database.stat().st_mode & 0o777 == 0o600


def test_a_file_that_others_may_have_written_is_no_template(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_own(template)
    link = tmp_path / "link.db"
    link.symlink_to(template)
    assert not is_own(link)
    assert not is_own(tmp_path / "none.db")
    monkeypatch.setattr(os, "geteuid", lambda: template.stat().st_uid + 1)
    assert not is_own(template)
    monkeypatch.undo()
    template.chmod(0o660)
    assert not is_own(template)


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite+aiosqlite:////home/p/prefect.db", Path("/home/p/prefect.db")),
        ("sqlite+aiosqlite:///:memory:", None),
        ("sqlite+aiosqlite:///file::memory:?cache=shared&uri=true", None),
        ("postgresql+asyncpg://prefect:secret@127.0.0.1/prefect", None),
    ],
)
def test_only_a_file_of_sqlite_is_provided(url: str, file: Path | None) -> None:
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, temporary_settings

    with temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: url}):
        assert sqlite_file() == file


def test_an_existing_database_is_left_alone(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = tmp_path / "prefect.db"
    database.write_bytes(b"runs")
    ran: list[list[str]] = []
    monkeypatch.setattr(prefect_process, "sqlite_file", lambda: database)
    monkeypatch.setattr("sys.argv", ["", str(template.parent), "server", "start"])
    monkeypatch.setattr("runpy.run_module", lambda *_, **__: ran.append(prefect_process.sys.argv))
    prefect_process.main()
    assert database.read_bytes() == b"runs"
    assert ran == [["prefect", "server", "start"]]
