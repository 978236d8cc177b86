"""`graft retrain`: real git and DVC, stand-ins for the pipeline and the registry (see quick.py)."""

import hashlib
from pathlib import Path
from typing import Any

import quick
from accidents import Kind, load
from retrained import NEW, commits, is_clean
from small_project import deliver, pictures_in, shell

from graft.core.project import Project


class Retrain(Kind):
    """Two deliveries wait: one good, with a raw file among the images, and one of a strange class."""

    def prepare(self) -> None:
        """Import DVC, which takes longer than the rest."""
        load("dvc.cli", "dvc.repo", "great_expectations")

        really = quick.champions
        quick.champions = lambda project: really(project).with_name("stand-in-champions")  # type: ignore[assignment]
        import retrained

        retrained.champions = quick.champions  # type: ignore[attr-defined]

    def make(self, root: Path) -> None:
        """A project after its first run, and the inbox."""
        quick.make_quick_project(root)
        deliver(root / "inbox/week", NEW)
        (root / "inbox/week/red/IMG.CR2").write_bytes(b"from a phone")
        deliver(root / "inbox/strange", {"green": 2})

    def before(self, root: Path, draw: int) -> Any:
        """Every image and delivered file by its bytes, and every commit."""
        history = shell(root, "git", "rev-list", "--all").split()
        return pictures_in(Project(root)), _bytes_in(root), history

    def act(self, root: Path, draw: int) -> None:
        """One retraining."""
        with quick.in_this_process():
            quick.retrain(Project(root))

    def following(self, root: Path, draw: int) -> None:
        """The next night's."""
        self.act(root, draw)

    def check_after(self, root: Path, draw: int, before: Any) -> None:
        """No image of data/ and no delivered file is gone, nor any commit."""
        pictures, held, history = before
        assert pictures.items() <= pictures_in(Project(root)).items(), "an image of data/ is gone"
        assert held <= _bytes_in(root), "a delivered file is gone"
        assert set(history) <= set(shell(root, "git", "rev-list", "--all").split()), "a commit is gone"
        assert len(_champions(root)) in (1, 2), "more champions than trainings"

    def check_end(self, root: Path, draw: int, before: Any) -> None:
        """As after one retraining without an accident."""
        project = Project(root)
        self.check_after(root, draw, before)
        is_clean(project, images=13)
        assert commits(project) == 3, "commits"
        with quick.in_this_process():
            assert quick.dvc(["status", "--json"], root).stdout.strip() == "{}", "DVC's status"
        names = [path.name for path in (root / "inbox").rglob("*.png") if "done" not in path.parts]
        assert names == [], f"left in the inbox: {names}"
        assert len(list((root / "inbox/done").rglob("*.png"))) == 5, "inbox/done"
        assert len(list((root / "quarantine").rglob("*.png"))) == 2, "quarantine"
        assert list((root / "quarantine").rglob("IMG.CR2")), "the raw file"


def _bytes_in(root: Path) -> set[str]:
    folders = [root / "data", root / "inbox", root / "quarantine"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    delivered = [path for path in files if path.suffix in (".png", ".CR2")]
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in delivered}


def _champions(root: Path) -> list[str]:
    return quick.champions(Project(root)).read_text().split()


KIND = Retrain()
