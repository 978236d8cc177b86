"""`graft label`, `graft data apply` and `graft history --data` as typed, on a project without a model."""

import hashlib
import json
from pathlib import Path

import pytest
from tiny import make_project
from typer.testing import CliRunner

from graft.cli.main import app
from graft.core.errors import GraftError
from graft.core.project import Project
from graft.deployment.labelling.choose_images import labelling_folder
from graft.deployment.labelling.labelling_task import Item, LabellingTask

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_outside_settings: None) -> Project:
    made = make_project(tmp_path / "project")
    made.params_file.write_text(PARAMS.read_text())
    monkeypatch.chdir(made.root)
    return made


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def asked(project: Project, kind: str, *paths: str) -> LabellingTask:
    made = LabellingTask(labelling_folder(project), kind, ["blue", "green", "red"])  # type: ignore[arg-type]
    for path in paths:
        data = (project.data / path).read_bytes()
        made.add(data, Item(hashlib.sha256(data).hexdigest(), "", path, path.split("/")[0], 0.5, "in doubt"))
    made.write()
    return made


def test_decisions_change_data_and_stand_in_the_history(project: Project) -> None:
    names = [path.relative_to(project.data).as_posix() for path in sorted((project.data / "red").iterdir())[:3]]
    task = asked(project, "inspect", *names)
    for one, (verdict, label) in zip(task.items, [("labelled", "blue"), ("removed", ""), ("kept", "")], strict=True):
        task.decide(one.sha256, verdict, label)
    assert "1 label corrected, 1 image removed." in run("data", "apply", "--dry-run")
    assert (project.data / names[0]).exists()
    assert "1 label corrected, 1 image removed." in run("data", "apply")
    assert not (project.data / names[0]).exists()
    assert (project.data / names[0].replace("red/", "blue/")).read_bytes()
    assert not (project.data / names[1]).exists()
    assert (project.data / names[2]).exists()
    assert "Nothing to do." in run("data", "apply")
    assert "1 label corrected, 1 image removed." in run("history", "--data")
    (row,) = json.loads(run("history", "--data", "--json"))
    assert (row["name"], row["verdict"]) == ("graft data apply", "taken in")


def test_new_labels_go_to_the_inbox_and_not_into_data(project: Project, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"a photo")
    task = asked(project, "label")
    task.add(b"a photo", Item(hashlib.sha256(b"a photo").hexdigest(), "", "photo.png", "red", 0.5, "50% sure"))
    task.write()
    assert "1 of 1 images are open" in run("label", "--label-studio", "tasks.json")
    assert (project.root / "tasks.xml").exists()
    (made,) = json.loads((project.root / "tasks.json").read_text())
    result = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["green"]}}
    exported = [{"data": made["data"], "annotations": [{"result": [result]}]}]
    (project.root / "export.json").write_text(json.dumps(exported))
    assert "1 labels taken" in run("label", "--take", "export.json")
    (image,) = (project.root / "inbox").rglob("*.png")
    assert (image.parent.name, image.read_bytes()) == ("green", b"a photo")
    with pytest.raises(GraftError, match="are new images"):
        run("data", "apply")


def test_what_contradicts_itself_is_refused(project: Project) -> None:
    with pytest.raises(GraftError, match="There is nothing to label"):
        run("label")
    with pytest.raises(GraftError, match="more than one was named"):
        run("label", "--log", "--inspect")
    assert "No delivery has come in yet." in run("history", "--data")
