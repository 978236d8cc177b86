"""The report of a run is written in a process of its own, which says where it is, or why there is none."""

from types import SimpleNamespace

import pytest

from graft.automation import run_report
from graft.core import params
from graft.core.errors import GraftError
from graft.core.project import Project
from graft.registry.report import write_report


def test_where_the_report_is_is_said(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = project.artifacts("report") / "frozen.html"
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(params, "load_params", lambda _: None)
    monkeypatch.setattr(write_report, "write_report", lambda *_: SimpleNamespace(page=page, size=1_250_000))
    run_report.main()
    assert capsys.readouterr().out == "Report: artifacts/report/frozen.html (1.2 MB)\n"


def test_a_run_that_evaluated_nothing_has_none_and_is_well(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise GraftError("There are no results yet", "Run the pipeline with `graft run`")

    monkeypatch.chdir(project.root)
    monkeypatch.setattr(params, "load_params", lambda _: None)
    monkeypatch.setattr(write_report, "write_report", refuse)
    run_report.main()
    assert capsys.readouterr().out.startswith("No report: There are no results yet")
