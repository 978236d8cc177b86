"""Whole retrainings of a small project: what they leave, and that a failure or a kill leaves nothing half done."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import small_project
from quick import champions, count_things, in_a_child, in_this_process, make_quick_project, retrain
from small_project import MODEL, copied, deliver, make_small_project, picture, pictures_in, shell

from graft.automation.retraining.finishing import abandon
from graft.automation.retraining.landing import check_out
from graft.automation.retraining.outcome import OpenCommit, read_open
from graft.automation.retraining.quarantine import acknowledge
from graft.automation.retraining.retrain_history import HISTORY_FILE
from graft.automation.retraining.retraining import Retraining
from graft.automation.retraining.workspace import left_behind, open_workspace, remove_workspaces
from graft.core.errors import GraftError
from graft.core.lock import ProjectBusyError, project_lock, retraining_lock
from graft.core.project import Project

pytestmark = pytest.mark.usefixtures("no_outside_settings")
NEW = {"red": 3, "blue": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after its first run, with a champion; to be copied."""
    return make_quick_project(tmp_path_factory.mktemp("quick") / "project")


@pytest.fixture
def project(made: Project, tmp_path: Path) -> Iterator[Project]:
    """A copy of it, with stand-ins for pipeline and registry."""
    with in_this_process():
        yield copied(made, tmp_path / "project")


def set_params(project: Project, **changes: str) -> None:
    """Change lines of params.yaml by the name of their key, and commit that."""
    text = project.params_file.read_text(encoding="utf-8")
    for key, value in changes.items():
        old = [line for line in text.splitlines() if line.strip().startswith(f"{key}:")]
        assert len(old) == 1, old
        text = text.replace(old[0], f"{old[0][: old[0].index(key)]}{key}: {value}")
    project.params_file.write_text(text, encoding="utf-8")
    shell(project.root, "git", "commit", "-qam", "Other params")


def commits(project: Project) -> int:
    return int(shell(project.root, "git", "rev-list", "--count", "HEAD"))


def dvc_status(project: Project) -> str:
    return shell(project.root, sys.executable, "-m", "dvc", "status", "--json")


def is_clean(project: Project, images: int) -> None:
    """What must hold after every run, whatever had happened before it."""
    assert len(pictures_in(project)) == images
    assert shell(project.root, "git", "status", "--short") == ""
    assert not read_open(project)
    assert left_behind(project) == []
    assert not list((project.root / ".git/worktrees").glob("*"))
    assert not (project.root / ".git/index.lock").exists()
    assert [line for line in champions(project).read_text().splitlines() if line] == ["0", str(images)]


def state_of(project: Project) -> dict[str, Any]:
    """All that a failed run must leave as it was."""
    files = ("data.dvc", "dvc.lock", "artifacts/train/model.txt", "artifacts/train/metrics.json")
    return {
        "pictures": pictures_in(project),
        **{name: (project.root / name).read_text() for name in files},
        "commit": shell(project.root, "git", "rev-parse", "HEAD"),
        "changes": shell(project.root, "git", "status", "--short"),
        "champions": champions(project).read_text(),
    }


def verdicts(outcome: Any) -> dict[str, str]:
    return {one.name: one.verdict for one in outcome.deliveries}


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def while_training(action: Any) -> Any:
    """A change of a retraining: does something of a person's right before the pipeline runs."""

    def change(retraining: Retraining) -> None:
        really = retraining.train

        def train() -> None:
            action()
            really()

        retraining.train = train  # type: ignore[method-assign]

    return change


def test_a_delivery_becomes_data_a_commit_and_a_champion(project: Project) -> None:
    deliver(project.root / "inbox/week", NEW)
    deliver(project.root / "inbox/strange", {"green": 2})
    outcome = retrain(project)
    is_clean(project, images=13)
    assert dvc_status(project) == "{}"
    assert commits(project) == 3
    assert outcome.reasons == ["5 new images in week"]
    assert verdicts(outcome) == {"strange": "quarantined", "week": "taken in"}
    (place,) = (project.root / "quarantine").iterdir()
    assert (place / "strange/green").is_dir()
    assert (project.root / "artifacts/train/model.txt").read_text().count("\n") == 12
    assert "dataset: colours" in (project.root / "data.dvc").read_text()


def test_with_nothing_to_do_nothing_is_done(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state_of(project)
    monkeypatch.setattr("graft.automation.retraining.workspace.open_workspace", None)
    assert retrain(project).events == ["nothing"]
    assert state_of(project) == before


def test_a_pipeline_that_fails_leaves_everything_as_it_was_and_the_delivery_waits(project: Project) -> None:
    before = state_of(project)
    deliver(project.root / "inbox/week", NEW)
    picture("red", 4000).save(project.root / "inbox/week/red/poison.png")
    with pytest.raises(GraftError):
        retrain(project)
    assert state_of(project) == before
    assert left_behind(project) == []
    last = json.loads((project.retraining / HISTORY_FILE).read_text().splitlines()[-1])
    assert last["events"] == ["failed"]
    (project.root / "inbox/week/red/poison.png").unlink()
    retrain(project)
    is_clean(project, images=13)


def test_data_changed_by_hand_is_a_reason_and_asking_writes_nothing(project: Project) -> None:
    picture("blue", 4001).save(project.data / "blue/by_hand.png")
    (project.data / "red/100.png").unlink()
    shutil.copy(project.data / "red/101.png", project.data / "red/102.png")
    pointer = (project.root / "data.dvc").read_bytes()

    def look_at_the_pointer() -> None:
        assert (project.root / "data.dvc").read_bytes() == pointer

    outcome = retrain(project, while_training(look_at_the_pointer))
    assert outcome.reasons == ["data/ changed since the last run"]
    is_clean(project, images=8)
    assert dvc_status(project) == "{}"


def test_what_is_not_committed_is_trained_on_and_params_are_recorded(project: Project) -> None:
    text = project.params_file.read_text()
    project.params_file.write_text(text.replace("seed: 7 ", "seed: 8 "))
    (project.root / "make.py").write_text("# mine\n")
    outcome = retrain(project)
    assert outcome.reasons == ["params.yaml changed since the last run"]
    assert "seed: 8 " in shell(project.root, "git", "show", "HEAD:params.yaml")
    assert shell(project.root, "git", "status", "--short") == "M make.py"
    assert (project.root / "make.py").read_text() == "# mine\n"


@pytest.mark.parametrize("fails", [True, False])
def test_b3_what_a_person_puts_into_data_during_a_run_stays(project: Project, fails: bool) -> None:
    deliver(project.root / "inbox/week", NEW)
    if fails:
        picture("red", 4000).save(project.root / "inbox/week/red/poison.png")
    before = pictures_in(project)

    def act() -> None:
        picture("blue", 4001).save(project.data / "blue/mine.png")
        picture("blue", 4002).save(project.data / "red/1000.png")  # where the delivery has another image
        picture("blue", 4003).save(project.data / "red/100.png")  # in the place of a tracked one

    if fails:
        with pytest.raises(GraftError):
            retrain(project, while_training(act))
    else:
        outcome = retrain(project, while_training(act))
        assert "data/red/100.png" in outcome.settled[0]
    act_again = {"blue/mine.png": ("blue", 4001), "red/1000.png": ("blue", 4002), "red/100.png": ("blue", 4003)}
    for name, (colour, seed) in act_again.items():
        picture(colour, seed).save(project.root / "expected.png")
        assert (project.data / name).read_bytes() == (project.root / "expected.png").read_bytes()
    for name in set(before) - set(act_again):
        assert pictures_in(project)[name] == before[name]
    delivered = [path for path in files_below(project.root / "inbox") if path.endswith("1001.png")]
    assert len(delivered) == 1


def test_b3_data_brought_in_during_a_run_stays_and_the_delivery_waits(project: Project) -> None:
    deliver(project.root / "inbox/week", NEW)

    def act() -> None:
        picture("blue", 4001).save(project.data / "blue/mine.png")
        shell(project.root, sys.executable, "-m", "dvc", "add", "-q", "data")

    before = commits(project)
    with pytest.raises(GraftError, match=r"data.dvc was changed while"):
        retrain(project, while_training(act))
    assert commits(project) == before
    assert (project.root / "inbox/week/red/1000.png").is_file()
    retrain(project)
    is_clean(project, images=14)


def test_commits_and_edits_of_a_person_during_a_run_stay(project: Project) -> None:
    deliver(project.root / "inbox/week", NEW)

    def act() -> None:
        (project.root / "make.py").write_text("# better\n")
        shell(project.root, "git", "commit", "-qam", "Better code")
        (project.root / "dvc.yaml").write_text("# edited\n" + (project.root / "dvc.yaml").read_text())
        text = project.params_file.read_text()
        project.params_file.write_text(text.replace("seed: 7 ", "seed: 9 "))

    retrain(project, while_training(act))
    log = shell(project.root, "git", "log", "-3", "--format=%s").splitlines()
    assert log == ["Retrain colours: 5 new images in week", "Better code", "First"]
    assert shell(project.root, "git", "status", "--short").split() == ["M", "dvc.yaml", "M", "params.yaml"]
    assert "seed: 9 " in project.params_file.read_text()
    assert len(pictures_in(project)) == 13


def test_m1_the_model_is_judged_on_what_the_commit_holds_also_on_top_of_a_colleague_s(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(project.root / "inbox/week", NEW)
    differs: list[str] = []

    def act() -> None:
        (project.root / "README").write_text("about it")
        shell(project.root, "git", "add", "README")
        shell(project.root, "git", "commit", "-qm", "A word about it")

    def judge(own: Project, project: Project, params: Any, commit: str, *more: Any) -> None:
        differs.append(shell(own.root, "git", "diff", "--name-only", commit))

    monkeypatch.setattr("graft.automation.retraining.finishing.judge_challenger", judge)
    retrain(project, while_training(act))
    assert differs == [""]


def test_m10_a_run_that_another_one_keeps_out_for_too_long_is_told_of(project: Project) -> None:
    made = open_workspace(project, "main", "hanging").own.root / ".git"
    with retraining_lock(project):
        with pytest.raises(ProjectBusyError):
            retrain(project)
        os.utime(made, (0, made.stat().st_mtime - 2 * 720 * 60 - 60))
        with pytest.raises(GraftError, match="has been at work for 24 hours") as caught:
            retrain(project)
    assert not isinstance(caught.value, ProjectBusyError)
    remove_workspaces(project)


def test_l8_l9_a_run_that_changed_nothing_names_no_commit_and_unstages_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = retrain(project, forced=True)
    assert (outcome.commit, commits(project)) == ("", 2)
    (project.root / "make.py").write_text("# staged\n")
    shell(project.root, "git", "add", "make.py")
    head = shell(project.root, "git", "rev-parse", "HEAD")
    check_out(project, OpenCommit("run", "", "main", head, {}, {}))
    assert shell(project.root, "git", "diff", "--cached", "--name-only") == "make.py"


def test_another_branch_is_recorded_on_and_nothing_that_is_checked_out_moves(project: Project) -> None:
    set_params(project, branch="nightly")
    before = state_of(project)
    deliver(project.root / "inbox/one", NEW)
    retrain(project)
    assert {**state_of(project), "champions": ""} == {**before, "champions": ""}
    (project.root / "make.py").write_text("# better\n")
    shell(project.root, "git", "commit", "-qam", "Better code")
    deliver(project.root / "inbox/two", {"red": 1}, first=3000)
    retrain(project)
    shell(project.root, "git", "checkout", "-q", "nightly")
    shell(project.root, sys.executable, "-m", "dvc", "checkout", "-q")
    assert len(pictures_in(project)) == 14
    assert (project.root / "make.py").read_text() == "# better\n"
    assert champions(project).read_text().split() == ["0", "13", "14"]


def test_a_project_below_the_top_of_its_repository(project: Project) -> None:
    above = project.root.with_name("repository")
    above.mkdir()
    below = Project(project.root.rename(above / "project"))
    (below.root / ".git").rename(above / ".git")
    (above / "README").write_text("of more than this")
    shell(above, "git", "add", "-A")
    shell(above, "git", "commit", "-qm", "Moved down")
    deliver(below.root / "inbox/week", NEW)
    retrain(below)
    assert len(pictures_in(below)) == 13
    assert shell(above, "git", "status", "--short") == ""
    assert json.loads((below.root / "artifacts/train/metrics.json").read_text()) == {"images": 13}


def test_a_second_run_stays_out_while_one_is_at_work_and_others_do_not(project: Project) -> None:
    deliver(project.root / "inbox/week", NEW)
    with retraining_lock(project), pytest.raises(ProjectBusyError, match="Another retraining"):
        retrain(project)
    with project_lock(project), pytest.raises(ProjectBusyError, match="running its pipeline"):
        retrain(project)

    def act() -> None:
        with project_lock(project):  # as `graft run` and imports do
            pass

    retrain(project, while_training(act))
    is_clean(project, images=13)


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


class TestB4:
    """What is recorded is recorded; what follows is tried again and blocks nothing."""

    def break_champion(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def judge(*arguments: Any) -> None:
            raise RuntimeError("bad magic number in model.keras")

        monkeypatch.setattr("graft.automation.retraining.finishing.judge_challenger", judge)

    def test_b4_a_champion_that_no_longer_loads_blocks_nothing(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deliver(project.root / "inbox/one", NEW)
        with monkeypatch.context() as patch:
            self.break_champion(patch)
            outcome = retrain(project)
            assert outcome.open == ["The challenger was not judged: bad magic number in model.keras"]
            assert outcome.events == ["failed"]
            assert len(pictures_in(project)) == 13
            with project_lock(project):  # `graft run` and imports
                pass
            deliver(project.root / "inbox/two", {"red": 1}, first=3000)
            assert retrain(project).open == outcome.open
            assert len(pictures_in(project)) == 14
            assert len(read_open(project)) == 1
        outcome = retrain(project)
        assert outcome.champion == "14"
        assert outcome.events == ["promoted"]
        assert read_open(project) == []

    def test_b4_the_project_may_be_moved_between_two_nights(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deliver(project.root / "inbox/one", NEW)
        with monkeypatch.context() as patch:
            self.break_champion(patch)
            retrain(project)
        moved = Project(project.root.with_name("moved"))
        project.root.rename(moved.root)
        outcome = retrain(moved)
        assert outcome.champion == "13"
        is_clean(moved, images=13)

    def test_b4_giving_up_says_what_was_open(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        deliver(project.root / "inbox/one", NEW)
        self.break_champion(monkeypatch)
        commit = retrain(project).commit
        (line,) = abandon(project)
        assert line.startswith(f"Given up: commit {commit[:10]} of 20")
        assert line.endswith("UTC: judge")
        assert abandon(project) == []
        assert retrain(project).open == []

    def test_b4_a_file_that_cannot_be_read_is_given_up_too(self, project: Project) -> None:
        project.retraining.mkdir(parents=True)
        (project.retraining / "open.json").write_text("torn {")
        with pytest.raises(GraftError, match="graft retrain --abandon"):
            retrain(project)
        assert "is not what a retraining writes" in abandon(project)[0]
        retrain(project)

    def test_b4_a_message_that_did_not_arrive_is_part_of_the_next_one(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deliver(project.root / "inbox/one", NEW)
        with monkeypatch.context() as patch:
            patch.setattr(Retraining, "told", lambda self: None)
            retrain(project)
        outcome = retrain(project)
        assert outcome.settled[0].endswith("UTC: trained, and the champion stays.")
        assert read_open(project) == []

    def test_b4_a_user_without_a_name(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        """As under `docker run -u 54321`: no entry in passwd, nothing in the environment, no name for git."""
        import pwd

        def missing(number: int) -> None:
            raise KeyError(f"getpwuid(): uid not found: {number}")

        for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(pwd, "getpwuid", missing)
        for scope in ("GLOBAL", "SYSTEM"):
            monkeypatch.setenv(f"GIT_CONFIG_{scope}", os.devnull)
        shell(project.root, "git", "config", "--unset", "user.name")
        shell(project.root, "git", "config", "--unset", "user.email")
        shell(project.root, "git", "config", "user.useConfigOnly", "true")
        deliver(project.root / "inbox/one", NEW)
        retrain(project)
        assert shell(project.root, "git", "log", "-1", "--format=%an %cn") == "graft graft"
        is_clean(project, images=13)


def test_b7_a_bad_delivery_stops_until_a_person_has_acknowledged_it(project: Project) -> None:
    set_params(project, on_bad="stop")
    deliver(project.root / "inbox/good", NEW)
    deliver(project.root / "inbox/strange", {"green": 2})
    for _ in range(3):
        with pytest.raises(GraftError, match=r"strange cannot be taken in.*graft retrain --accept strange"):
            retrain(project)
    assert len(pictures_in(project)) == 8
    with pytest.raises(GraftError, match="No delivery 'other' waits"):
        acknowledge(project.root / "quarantine", "other")
    acknowledge(project.root / "quarantine", "strange")
    retrain(project)
    assert len(pictures_in(project)) == 13


def test_b7_or_its_folder_is_removed(project: Project) -> None:
    set_params(project, on_bad="stop")
    deliver(project.root / "inbox/strange", {"green": 2})
    with pytest.raises(GraftError, match="on_bad is stop"):
        retrain(project)
    shutil.rmtree(project.root / "quarantine")
    assert retrain(project).events == ["nothing"]


def test_b8_one_bad_delivery_does_not_take_two_good_ones_along(project: Project) -> None:
    deliver(project.root / "inbox/a", NEW)
    deliver(project.root / "inbox/b", {"red": 2}, first=3000)
    picture("red", 4000).save(project.root / "inbox/b/red/refused.png")
    deliver(project.root / "inbox/c", {"blue": 1}, first=5000)
    outcome = retrain(project)
    assert verdicts(outcome) == {"a": "taken in", "b": "quarantined", "c": "taken in"}
    assert outcome.reasons == ["5 new images in a", "1 new images in c"]
    is_clean(project, images=14)
    (place,) = (project.root / "quarantine").iterdir()
    assert json.loads((place / "reasons.json").read_text())["reasons"] == ["alike: two alike (needed: none)."]


def test_b8_where_data_itself_is_refused_no_delivery_is_blamed(project: Project) -> None:
    picture("red", 4000).save(project.data / "red/refused.png")
    deliver(project.root / "inbox/a", NEW)
    with pytest.raises(GraftError, match="data/ breaks rules of its own: alike"):
        retrain(project)
    assert (project.root / "inbox/a").is_dir()


def test_b8_three_nights_without_a_verdict_and_the_delivery_is_quarantined(project: Project) -> None:
    deliver(project.root / "inbox/good", NEW)
    deliver(project.root / "inbox/week", {"red": 1}, first=3000)
    picture("red", 4000).save(project.root / "inbox/week/red/poison.png")
    for _ in range(2):
        with pytest.raises(GraftError, match="The pipeline stopped"):
            retrain(project)
    # From then on one at a time: the good one comes in, the other one fails alone.
    outcome = retrain(project)
    assert verdicts(outcome) == {"good": "taken in", "week": "left"}
    with pytest.raises(GraftError, match="The pipeline stopped"):
        retrain(project)
    (place,) = (project.root / "quarantine").iterdir()
    assert "3 runs in a row have failed with it" in json.loads((place / "reasons.json").read_text())["reasons"][0]
    retrain(project)
    is_clean(project, images=13)


def test_l14_a_failure_in_the_second_look_counts_too(project: Project) -> None:
    deliver(project.root / "inbox/a", {"red": 1})
    picture("red", 4000).save(project.root / "inbox/a/red/refused.png")
    deliver(project.root / "inbox/b", {"red": 1}, first=3000)
    picture("red", 4001).save(project.root / "inbox/b/red/poison.png")
    with pytest.raises(GraftError, match="The pipeline stopped"):
        retrain(project)
    counts = json.loads((project.retraining / "failures.json").read_text())
    assert {key.split()[0]: count for key, count in counts.items()} == {"b": 1}
    assert not (project.retraining / "incoming").exists()  # L4: no copy of the deliveries stays


def test_b9_a_delivery_and_its_correction_in_one_night(project: Project) -> None:
    week = deliver(project.root / "inbox/week", {"red": 4})
    corrected = deliver(project.root / "inbox/week-corrected", {"red": 4})
    for name in ("1000", "1001"):  # half of it cannot be read, so that all of it is refused
        (week / f"red/{name}.png").write_bytes(b"torn")
    assert verdicts(retrain(project)) == {"week": "quarantined", "week-corrected": "taken in"}
    assert len(pictures_in(project)) == 12
    assert not corrected.exists()


def test_b13_a_link_as_a_delivery_stays_and_is_named(project: Project, tmp_path: Path) -> None:
    deliver(tmp_path / "elsewhere", NEW)
    inbox = project.root / "inbox"
    (inbox / "done").mkdir(parents=True)
    (inbox / "week").symlink_to(tmp_path / "elsewhere")
    (inbox / "done/2020-01-01T000000-old").symlink_to(tmp_path / "elsewhere")
    outcome = retrain(project)
    assert [(one.name, one.verdict) for one in outcome.deliveries] == [("week", "left")]
    assert "symbolic link" in outcome.deliveries[0].reasons[0]
    assert not (inbox / "done/2020-01-01T000000-old").is_symlink()
    assert len(files_below(tmp_path / "elsewhere")) == 5


def test_h2_h3_what_cannot_be_a_delivery_does_not_keep_the_others_waiting(project: Project) -> None:
    deliver(project.root / "inbox/week", NEW)
    deliver(project.root / "inbox/strange", NEW)
    (project.root / "inbox/strange").rename(os.fsdecode(os.fsencode(project.root) + b"/inbox/Bl\xe4tter"))
    outcome = retrain(project)
    assert verdicts(outcome) == {"Bl\ufffdtter": "left", "week": "taken in"}
    is_clean(project, images=13)


def test_m6_a_name_with_a_backslash_has_the_delivery_refused(project: Project) -> None:
    deliver(project.root / "inbox/good", NEW)
    deliver(project.root / "inbox/week", {"red": 1}, first=3000)
    (project.root / "inbox/week/red\\notes.txt").write_text("from Windows")
    outcome = retrain(project)
    assert verdicts(outcome) == {"week": "quarantined", "good": "taken in"}
    assert "has a backslash or a control character in it" in outcome.deliveries[0].reasons[0]
    is_clean(project, images=13)


def test_a_preview_says_what_would_become_of_each_delivery_and_moves_nothing(project: Project) -> None:
    from graft.core.params import load_params

    week = deliver(project.root / "inbox/week", NEW)
    (week / "red/broken.png").write_bytes(b"no picture")
    deliver(project.root / "inbox/strange", {"green": 2})
    before, inbox = state_of(project), files_below(project.root / "inbox")
    retraining = Retraining(project, load_params(project.params_file))
    retraining.preview()
    assert verdicts(retraining.outcome) == {"strange": "would be quarantined", "week": "would be taken in"}
    assert "1 image left out: 1 unreadable" in retraining.outcome.deliveries[1].reasons[0]
    assert retraining.outcome.reasons == ["5 new images in week"]
    assert state_of(project) == before
    assert files_below(project.root / "inbox") == inbox
    assert not (project.root / "quarantine").exists()
    assert left_behind(project) == []


# Of 94 things that a run does, every eighth one, spread over the shards; GRAFT_TEST_EVERY=1 tries them all.
SHARDS = 4
EVERY = 8


def things_of(project: Project, folder: Path) -> list[str]:
    """What a run does, in a copy of the project."""
    other = copied(project, folder)

    def act() -> None:
        names = count_things(lambda name: None)
        retrain(other)
        (folder.with_name("names")).write_text("\n".join(names()))

    assert in_a_child(act) == 0
    return folder.with_name("names").read_text().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["killed", "disk full"])
@pytest.mark.parametrize("shard", range(SHARDS))
def test_however_a_run_ends_the_next_one_finishes_the_work(
    project: Project, tmp_path: Path, shard: int, way: str
) -> None:
    deliver(project.root / "inbox/week", NEW)
    (project.root / "inbox/week/red/IMG.CR2").write_bytes(b"from a phone")
    deliver(project.root / "inbox/strange", {"green": 2})
    before = pictures_in(project)
    names = things_of(project, tmp_path / "counted")
    assert len(names) > 80
    chosen = names[shard :: SHARDS * int(os.environ.get("GRAFT_TEST_EVERY", EVERY))]
    if way == "disk full":
        chosen = [name for name in chosen if name.split()[1] in ("mkdir", "copyfile", "replace", "rename")]
    for number, name in enumerate(chosen):
        one = copied(project, tmp_path / str(number))

        def end(now: str, name: str = name) -> None:
            if now == name and way == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if now == name:
                raise OSError(errno.ENOSPC, "No space left on device")

        def act(one: Project = one, end: Any = end) -> None:
            count_things(end)
            retrain(one)

        code = in_a_child(act)
        # A folder that is there needs no room: then the run ends well all the same.
        assert code in ((-signal.SIGKILL,) if way == "killed" else (0, 1)), name
        assert before.items() <= pictures_in(one).items(), name
        assert in_a_child(lambda one=one: retrain(one)) == 0, name  # type: ignore[misc]
        is_clean(one, images=13)
        assert commits(one) == 3, name
        assert dvc_status(one) == "{}", name
        assert sorted(path.name for path in (one.root / "inbox").rglob("*.png") if "done" not in path.parts) == []
        done = [path.name for path in (one.root / "inbox/done").rglob("*.png")]
        assert len(done) == 5, name
        strange = list((one.root / "quarantine").rglob("*.png"))
        assert len(strange) == 2, name
        assert list((one.root / "quarantine").rglob("IMG.CR2")), name
        shutil.rmtree(one.root)


@pytest.mark.slow
def test_in_processes_of_its_own_with_mlflow_s_registry(tmp_path: Path) -> None:
    from graft.registry.promotion.promote import open_registry

    project = make_small_project(tmp_path / "project")
    deliver(project.root / "inbox/week", NEW)
    for _ in range(2):
        done = small_project.retrain(project.root)
        assert done.returncode == 0, done.stderr
    line = open_registry(project, MODEL).line()
    newest = json.loads((project.root / "artifacts/register/registered.json").read_text())["version"]
    assert line.champion == newest == "1"
    assert line.entries[-1].reason == "retraining: 5 images of week"
    assert shell(project.root, "git", "status", "--short") == ""
    assert len(pictures_in(project)) == 13
