"""`graft data inspect` as typed: the table, the page, JSON that is nothing else, and what it refuses."""

import json
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from graft.cli.data import app
from graft.core.errors import GraftError


@pytest.fixture
def project(tmp_path, monkeypatch, repository):
    root = tmp_path / "project"
    for k, label in enumerate(("[bold]cat", "dog")):
        for i in range(4):
            path = root / "data" / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.effect_noise((24 + i, 20), 40 + 50 * k).convert("RGB").save(path)
    (root / "data/dog/copy.png").write_bytes((root / "data/[bold]cat/0.png").read_bytes())
    (root / "data/dog/broken.png").write_bytes(b"")
    (root / "params.yaml").write_text((repository / "params.yaml").read_text())
    (root / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(root)
    monkeypatch.setenv("COLUMNS", "160")
    return root


def inspect(*arguments):
    return CliRunner().invoke(app, ["inspect", "--no-labels", *arguments], catch_exceptions=False)


def test_table_and_page(project):
    output = inspect().output
    rows = [line.split() for line in output.splitlines()]
    assert ["class", "images", "left", "out"] in rows
    assert ["[bold]cat", "3", "1"] in rows
    assert ["dog", "4", "2"] in rows
    assert ["with", "several", "labels", "1", "[bold]cat/0.png", "=", "dog/copy.png"] in rows
    assert "dog/broken.png (unreadable: the file is empty)" in output
    assert "not looked for: --no-labels was given" in output
    assert "The page: .graft/cache/inspect/index.html" in output
    assert (project / ".graft/cache/inspect/index.html").read_text().startswith("<!DOCTYPE html>")
    assert not (project / "artifacts").exists()


def test_table_alone(project):
    output = inspect("--no-page").output
    assert "The page" not in output
    assert not (project / ".graft/cache/inspect/index.html").exists()


def test_json_is_json_and_nothing_else(project):
    code = "from graft.cli.main import main; main()"
    command = [sys.executable, "-c", code, "data", "inspect", "--no-labels", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["images"] == 7
    assert found["copies"][0]["conflicts"] is True
    assert {"path": "dog/broken.png", "reason": "unreadable: the file is empty"} in found["left_out"]
    assert Path(found["page"]).is_file()
    assert "Reading images" in done.stderr
    assert json.loads(inspect("--json", "--no-page").stdout)["page"] is None


def test_open_opens_the_page(project, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    inspect("--open")
    assert opened == [(project / ".graft/cache/inspect/index.html").as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    assert "No browser" in inspect("--open").output
    with pytest.raises(GraftError, match="--open and --no-page"):
        inspect("--open", "--no-page")


def test_empty_data_says_how_to_bring_some_in(project):
    for path in sorted((project / "data").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(GraftError, match="graft data import FOLDER"):
        inspect()
