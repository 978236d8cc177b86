"""`graft run`: a real `dvc repro`, with a stage that takes a moment in the place of those that train."""

import json
import sys
from pathlib import Path
from typing import Any

import quick
from accidents import Kind, load
from small_project import TRAIN_STAGE, deliver, environment, make_small_project, pictures_in, shell

from graft.core.project import Project


class Run(Kind):
    """Images have come since the last run."""

    def prepare(self) -> None:
        """Import what the command imports; DVC is a process of its own."""
        load("graft.automation.run_pipeline", "dvc.cli", "dvc.repo")

    def make(self, root: Path) -> None:
        """A project that was run once."""
        make_small_project(root)
        (root / "dvc.yaml").write_text(TRAIN_STAGE.format(train=f"""'"{sys.executable}" make.py'"""))
        self.act(root, 0)
        shell(root, "git", "add", "-A")
        shell(root, "git", "commit", "-q", "-m", "First")
        deliver(root / "data", {"red": 2, "blue": 1}, first=700)

    def before(self, root: Path, draw: int) -> Any:
        """The images, and what the last run had made."""
        return pictures_in(Project(root)), (root / "dvc.lock").read_text()

    def act(self, root: Path, draw: int) -> None:
        """The command without Prefect's server, and without MLflow, which this stage does not write to."""
        import os

        from graft.automation.run_pipeline import reproduce
        from graft.core.environment import configure
        from graft.core.lock import project_lock

        os.environ.update(environment())
        project = Project(root)
        configure(project)
        with project_lock(project):
            reproduce(project, ["train"])

    def check_after(self, root: Path, draw: int, before: Any) -> None:
        """No image has gone, and dvc.lock can be read."""
        from ruamel.yaml import YAML

        assert pictures_in(Project(root)) == before[0], "an image is gone"
        assert YAML(typ="safe").load((root / "dvc.lock").read_text()), "dvc.lock"
        shell(root, "git", "status", "--short")

    def following(self, root: Path, draw: int) -> None:
        """The same command."""
        self.act(root, draw)

    def check_end(self, root: Path, draw: int, before: Any) -> None:
        """The outputs are those of these images, DVC says so, and its cache has all of it."""
        self.check_after(root, draw, before)
        names = sorted(path.rpartition("/")[2] for path in before[0])
        assert sorted((root / "artifacts/train/model.txt").read_text().split()) == names, "the model"
        assert json.loads((root / "artifacts/train/metrics.json").read_text()) == {"images": len(names)}
        with quick.in_this_process():
            assert quick.dvc(["status", "--json"], root).stdout.strip() == "{}", "DVC's status"
            status = json.loads(quick.dvc(["data", "status", "--json"], root).stdout)
        assert not status.get("not_in_cache"), status


KIND = Run()
