"""`graft data import --replace`: other images take the place of those in data/, which DVC keeps."""

from pathlib import Path
from typing import Any

import quick
from accidents import Kind, load
from retrained import files_below
from small_project import deliver, make_small_project, pictures_in

from graft.core.project import Project


class BringIn(Kind):
    """Eight images are replaced by ten others."""

    def prepare(self) -> None:
        """Import DVC, which takes longer than the rest."""
        load("dvc.cli", "dvc.repo")

    def make(self, root: Path) -> None:
        """A project with images that DVC has not seen all of, and others beside it."""
        make_small_project(root)
        deliver(root / "data", {"red": 1}, first=700)
        deliver(root / "others", {"green": 5, "red": 5})

    def before(self, root: Path, draw: int) -> Any:
        """The images, by their path and bytes."""
        return pictures_in(Project(root)), pictures_in(_other(root))

    def act(self, root: Path, draw: int) -> None:
        """The import."""
        from graft.core.environment import configure
        from graft.data.sources.importing import import_images

        with quick.in_this_process():
            configure(Project(root))
            import_images(Project(root), root / "others", replace=True)

    def meanwhile(self, root: Path, draw: int) -> None:
        """Another import is refused."""
        self.act(root, draw)

    def following(self, root: Path, draw: int) -> None:
        """Any next command settles what was left, and the images are all old or all new; then the import again."""
        from graft.data.folder.swap import recover

        project = Project(root)
        _, new = self.before(root, draw)
        with quick.in_this_process():
            recover(project)
        found = pictures_in(project)
        # The count of both is known; only their hashes are looked at here.
        assert sorted(found.values()) in (sorted(new.values()), sorted(_old_values(root)))
        self.act(root, draw)

    def check_after(self, root: Path, draw: int, before: Any) -> None:
        """What was in data/ is in it, moved aside, or in DVC's cache."""
        (root / "stand-in-old").write_text("\n".join(before[0].values()))
        assert set(before[0].values()) <= _bytes_in(root), "an image of the old data/ is gone"

    def check_end(self, root: Path, draw: int, before: Any) -> None:
        """The new images are in data/ and in DVC's cache, and the old ones come back by their pointer."""
        old, new = before
        project = Project(root)
        (root / "stand-in-old").unlink()
        assert pictures_in(project) == new, "data/ is not the new one"
        assert files_below(project.state / "staging") == [], "something is left in staging"
        pointers = sorted((project.replaced).glob("*.dvc"))
        assert pointers, "no pointer to the old data/"
        with quick.in_this_process():
            for pointer in pointers:
                (root / "data.dvc").write_bytes(pointer.read_bytes())
                done = quick.dvc(["checkout", "--force", "data.dvc"], root)
                assert done.returncode == 0, done.stderr
                if pictures_in(project) == old:
                    return
        raise AssertionError("the old data/ does not come back")


def _other(root: Path) -> Project:
    class Other(Project):
        @property
        def data(self) -> Path:
            return self.root / "others"

    return Other(root)


def _old_values(root: Path) -> list[str]:
    return (root / "stand-in-old").read_text().split()


def _bytes_in(root: Path) -> set[str]:
    import hashlib

    folders = [root / "data", root / ".graft", root / ".dvc/cache"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


KIND = BringIn()
