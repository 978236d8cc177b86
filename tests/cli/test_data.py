"""`graft data` as typed: what it prints, and how it ends."""

import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from graft.cli.data import app
from graft.core.errors import GraftError
from graft.data.folder import versioning
from graft.data.sources import catalogue, published


@pytest.fixture
def project(tmp_path, monkeypatch):
    root = tmp_path / "project"
    root.mkdir()
    (root / "params.yaml").write_text("{}\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(root)
    monkeypatch.delenv("GRAFT_CACHE", raising=False)

    def add(project, *arguments):
        pointer = versioning.pointer_file(project)
        meta = pointer.read_text().partition("meta:")[2] if pointer.exists() else ""
        files = sum(path.is_file() for path in project.data.rglob("*"))
        pointer.write_text(f"outs:\n- md5: {files:032d}.dir\n  path: data\n" + (f"meta:{meta}" if meta else ""))

    monkeypatch.setattr(versioning, "run_dvc", add)
    return root


@pytest.fixture
def pets(tmp_path):
    for split, count in (("train", 3), ("test", 2)):
        for label in ("cat", "[bold]dog"):
            folder = tmp_path / "pets" / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                (folder / f"{i}.png").write_bytes(f"{split}{label}{i}".encode())
    (tmp_path / "pets" / "notes.txt").write_text("x")
    return tmp_path / "pets"


def run(*arguments):
    """Output of a command that succeeds; what it raises otherwise goes on."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_import_says_what_came_in_and_what_next(project, pets):
    output = run("import", pets)
    lines = [line.split() for line in output.splitlines()]
    assert ["class", "train", "test"] in lines
    assert ["[bold]dog", "3", "2"] in lines
    assert "data/ now holds pets: 10 images." in output
    assert "1 file left out: 1 .txt." in output
    assert "Next: graft run" in output


def test_import_needs_replace_and_says_how_to_go_back(project, pets):
    run("import", pets, "--name", "first")
    with pytest.raises(GraftError, match=r"holds 'first'.*--replace"):
        run("import", pets)
    (pets / "train/cat/0.png").unlink()
    output = run("import", pets, "--replace")
    pointer = Path(output.partition("cp ")[2].split()[0])
    assert "dataset: first" in pointer.read_text()
    assert output.count("dvc checkout data.dvc") == 1


def test_use_from_a_copy_of_something_else(project, pets):
    with pytest.raises(GraftError, match="is not 'rock_paper_scissors' as published"):
        run("use", "rock_paper_scissors", "--from", pets)


def test_list_shows_every_data_set_with_what_matters(project, pets, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(published, "index_has", lambda package: True)
    monkeypatch.setattr(published, "is_reachable", lambda url: False)
    monkeypatch.setattr(published, "npm_has", lambda package, version: False)
    monkeypatch.setattr(published, "debian_has", lambda package: False)
    run("import", pets)
    output = run("list")
    flat = " ".join(output.split())
    for name, entry in catalogue.read_catalogue().items():
        origins = [source.origin for source in entry.sources]
        for shown in (name, f"{entry.images:,} images", entry.licence, " ".join(entry.notice.split()), *origins):
            assert shown in flat
    for state in ("reachable", "no answer", "by hand"):
        assert state in output
    assert "For non-commercial use only" in flat
    assert "data/ holds 'pets', images of your own." in output
    assert "--from PATH" in output


def test_use_says_licence_and_the_split_settings_that_fit(project, tmp_path):
    for k, label in enumerate(("paper", "rock", "scissors")):
        for split, count in (("train", 840), ("test", 124)):
            folder = tmp_path / "hands" / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                (folder / f"{label}01-{i:03d}.png").write_bytes(f"{k} {split} {i}".encode())
    output = run("use", "rock_paper_scissors", "--from", tmp_path / "hands")
    assert "Licence: CC BY 2.0" in output
    settings = YAML(typ="safe").load(output.partition("params.yaml:\n")[2].partition("Next:")[0])
    entry = catalogue.find_entry("rock_paper_scissors")
    assert settings == {"split": {"method": "official", "group_by": entry.split.group_by}}


def test_import_of_a_table(project, pets):
    rows = [f"{path.relative_to(pets)},{path.parent.name},a b,x" for path in sorted(pets.rglob("?.png"))]
    (pets / "table.csv").write_text("\n".join(["path,label,group,shutter", *rows]), encoding="utf-8")
    output = run("import", pets / "table.csv", "--name", "mine")
    assert "data/ now holds mine: 10 images." in output
    assert "Other columns of table.csv are in data/columns.csv: shutter." in output
    assert "method: group" in output
    assert "group_by: column" in output
    assert (project / "data/cat/group=a b/train/cat/0.png").exists()


def test_outside_a_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GraftError, match="No graft project"):
        run("list")


@pytest.mark.parametrize("verb", ["list", "use", "import", "inspect"])
def test_every_verb_has_an_example(verb):
    assert f"Example: graft data {verb}" in run(verb, "--help")


def test_help_does_not_wait_for_heavy_libraries():
    code = (
        "import sys, graft.cli.data\n"
        "heavy = {'dvc', 'requests', 'pandas', 'numpy', 'PIL', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
