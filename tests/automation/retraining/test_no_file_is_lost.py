"""Data of a colleague and of deliveries: each file's bytes are in data/, the inbox or the quarantine."""

import json
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from quick import retrain
from retrained import NEW, files_below, is_clean, set_params, verdicts, while_training
from small_project import deliver, picture, pictures_in, shell

from graft.core.project import Project

pytestmark = pytest.mark.usefixtures("no_outside_settings")


@pytest.fixture
def project(quick_project: Project) -> Project:
    return quick_project


class TestB1:
    """A colleague's data comes in by git and DVC's remote as it is."""

    @pytest.fixture
    def colleague(self, project: Project, tmp_path: Path) -> Project:
        """A clone of the project, whose remotes both use."""
        root = project.root
        shell(tmp_path, "git", "init", "-q", "--bare", "-b", "main", "team.git")
        shell(root, sys.executable, "-m", "dvc", "remote", "add", "-q", "-d", "team", str(tmp_path / "store"))
        shell(root, "git", "remote", "add", "origin", str(tmp_path / "team.git"))
        set_params(
            project, remote="pull", command='"git pull -q --ff-only"', push="origin", push_data="true", retries="0"
        )
        shell(root, sys.executable, "-m", "dvc", "push", "-q")
        shell(root, "git", "push", "-q", "-u", "origin", "main")
        shell(tmp_path, "git", "clone", "-q", "team.git", "colleague")
        clone = Project(tmp_path / "colleague")
        shell(clone.root, "git", "config", "user.name", "a colleague")
        shell(clone.root, "git", "config", "user.email", "colleague@localhost")
        shell(clone.root, sys.executable, "-m", "dvc", "pull", "-q", "data.dvc")
        return clone

    def change(self, clone: Project) -> None:
        """What the colleague does: one image more, one less, one in another place's stead."""
        picture("blue", 5000).save(clone.data / "blue/theirs.png")
        (clone.data / "red/100.png").unlink()
        shell(clone.root, sys.executable, "-m", "dvc", "add", "-q", "data")
        shell(clone.root, sys.executable, "-m", "dvc", "push", "-q", "data.dvc")
        shell(clone.root, "git", "commit", "-qam", "Other images")
        shell(clone.root, "git", "push", "-q")

    def test_b1_a_colleague_pushes_images_while_a_delivery_waits(self, project: Project, colleague: Project) -> None:
        self.change(colleague)
        theirs = pictures_in(colleague)
        deliver(project.root / "inbox/week", NEW)
        picture("red", 5001).save(project.data / "red/by_hand.png")
        outcome = retrain(project)
        is_clean(project, images=14)
        mine = pictures_in(project)
        assert theirs.items() <= mine.items()
        assert "red/100.png" not in mine
        assert "red/by_hand.png" in mine
        assert outcome.open == []
        # The next night finds nothing in the way, and the colleague gets all of it.
        retrain(project)
        shell(colleague.root, "git", "pull", "-q", "--ff-only")
        shell(colleague.root, sys.executable, "-m", "dvc", "pull", "-q", "data.dvc")
        assert pictures_in(colleague) == mine

    def test_b1_without_a_delivery_data_follows_and_the_pointer_stays_the_colleague_s(
        self, project: Project, colleague: Project
    ) -> None:
        self.change(colleague)
        retrain(project)
        assert pictures_in(project) == pictures_in(colleague)
        pointer = shell(colleague.root, "git", "show", "HEAD:data.dvc")
        assert shell(project.root, "git", "show", "HEAD:data.dvc") == pointer

    def test_b1_a_push_that_is_refused_is_told_and_tried_again(self, project: Project, colleague: Project) -> None:
        deliver(project.root / "inbox/week", NEW)
        outcome = retrain(project, while_training(lambda: self.change(colleague)))
        assert outcome.open[0].startswith("Not pushed: `git push` failed")
        assert outcome.events == ["failed", "promoted"]
        shell(project.root, "git", "pull", "-q", "--no-rebase", "-X", "ours")
        assert retrain(project).open == []
        assert shell(project.root, "git", "rev-parse", "HEAD") == shell(project.root, "git", "rev-parse", "origin/main")


class TestB2:
    """A file leaves the inbox only where its bytes are in data/ or in the quarantine."""

    def everything(self, project: Project) -> set[str]:
        """SHA-256 of all files in inbox (but not done/), data/ and quarantine."""
        import hashlib

        folders = [project.data, project.root / "quarantine"]
        files = [path for folder in folders for path in folder.rglob("*")]
        files += [path for path in (project.root / "inbox").rglob("*") if "done" not in path.parts]
        return {hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}

    def sha(self, path: Path) -> str:
        import hashlib

        return hashlib.sha256(path.read_bytes()).hexdigest()

    def test_b2_files_that_arrive_during_a_run_stay_and_are_taken_in_by_the_next(self, project: Project) -> None:
        deliver(project.root / "inbox/week", NEW)

        def act() -> None:
            picture("red", 6000).save(project.root / "inbox/week/red/late.png")
            (project.root / "inbox/week/red/.half.png.XyZ").write_bytes(b"of rsync")

        outcome = retrain(project, while_training(act))
        late = project.root / "inbox/week/red/late.png"
        assert files_below(project.root / "inbox/week") == ["red/.half.png.XyZ", "red/late.png"]
        assert (
            "2 files stay in the inbox: week/red/.half.png.XyZ, week/red/late.png" in outcome.deliveries[0].reasons[0]
        )
        late_sha = self.sha(late)
        retrain(project)
        assert late_sha in pictures_in(project).values()

    def test_b2_raw_archives_and_what_lies_astray_go_into_the_quarantine(self, project: Project) -> None:
        set_params(project, max_bad_share="0.9")
        week = deliver(project.root / "inbox/week/sub", NEW)
        (week / "red/IMG_1.CR2").write_bytes(b"from a phone")
        with zipfile.ZipFile(week / "red/more.zip", "w") as archive:
            archive.writestr("1.png", b"packed")
        picture("red", 6001).save(week / "astray.png")
        (week / "red/notes.txt").write_text("about these")
        (week / "red/broken.png").write_bytes(b"no picture")
        held = {self.sha(path) for path in (project.root / "inbox").rglob("*") if path.is_file()}
        outcome = retrain(project)
        assert held <= self.everything(project)
        assert files_below(project.root / "inbox/week") == []
        (one,) = outcome.deliveries
        (place,) = (project.root / "quarantine").iterdir()
        assert files_below(place / "week") == [
            "sub/astray.png",
            "sub/red/IMG_1.CR2",
            "sub/red/broken.png",
            "sub/red/more.zip",
            "sub/red/notes.txt",
        ]
        found = {row["path"]: row["found"] for row in json.loads((place / "reasons.json").read_text())["details"]}
        assert found["sub/red/IMG_1.CR2"] == "in the format CR2, which graft does not read"
        assert found["sub/red/more.zip"] == "an archive inside the delivery, which is not opened"
        assert found["sub/astray.png"] == "in no class folder"
        assert one.left_out == 4
        assert outcome.events == ["promoted", "quarantined"]

    def test_b2_notes_alone_disturb_nobody(self, project: Project) -> None:
        week = deliver(project.root / "inbox/week", NEW)
        (week / "labels.csv").write_text("of these")
        outcome = retrain(project)
        assert outcome.events == ["promoted"]
        assert outcome.deliveries[0].reasons == ["1 other file left out."]

    def test_b2_an_archive_leaves_only_as_it_was_checked(self, project: Project) -> None:
        deliver(project.root / "packed", NEW)
        inbox = project.root / "inbox"
        for name in ("one", "two"):
            deliver(project.root / name, {"red": 2}, first=7000 if name == "one" else 8000)
            shutil.make_archive(str(inbox / name), "zip", project.root / name)

        def act() -> None:
            with zipfile.ZipFile(inbox / "two.zip", "a") as archive:
                archive.writestr("red/late.png", b"later")

        outcome = retrain(project, while_training(act))
        assert files_below(inbox) == [f"done/{path.name}" for path in (inbox / "done").iterdir()] + ["two.zip"]
        assert verdicts(outcome) == {"one.zip": "taken in", "two.zip": "taken in"}
        assert "stay in the inbox: two.zip" in outcome.deliveries[1].reasons[0]

    def test_b2_what_only_a_refused_delivery_brought_is_not_known(self, project: Project) -> None:
        """The checks of the pipeline refuse the first one, after the second was held against it."""
        deliver(project.root / "inbox/a", {"red": 2})
        picture("red", 6002).save(project.root / "inbox/a/red/refused.png")
        deliver(project.root / "inbox/b", {"red": 2})
        picture("blue", 6003).save(project.root / "inbox/b/red/extra.png")
        outcome = retrain(project)
        assert verdicts(outcome) == {"a": "quarantined", "b": "taken in"}
        assert files_below(project.root / "inbox/b") == ["red/1000.png", "red/1001.png"]
        retrain(project)
        assert len(pictures_in(project)) == 11
        assert files_below(project.root / "inbox/b") == []
