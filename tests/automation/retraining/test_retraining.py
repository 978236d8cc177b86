"""Whole retrainings of a small project: what they leave, also where one fails or a person works meanwhile."""

import json
import os
import shutil
import sys
from typing import Any

import pytest
import quick
from quick import champions, retrain
from retrained import NEW, commits, dvc_status, files_below, is_clean, set_params, state_of, verdicts, while_training
from small_project import deliver, picture, pictures_in, shell

from graft.automation.retraining.landing import check_out
from graft.automation.retraining.outcome import OpenCommit, message
from graft.automation.retraining.retrain_history import HISTORY_FILE
from graft.automation.retraining.retraining import Retraining
from graft.automation.retraining.workspace import left_behind, open_workspace, remove_workspaces
from graft.core.errors import GraftError
from graft.core.lock import ProjectBusyError, project_lock, retraining_lock
from graft.core.project import Project

pytestmark = pytest.mark.usefixtures("no_outside_settings")


@pytest.fixture
def project(quick_project: Project) -> Project:
    return quick_project


def test_a_delivery_becomes_data_a_commit_and_a_champion(project: Project) -> None:
    deliver(project.root / "inbox/week", NEW)
    deliver(project.root / "inbox/strange", {"green": 2})
    outcome = retrain(project)
    is_clean(project, images=13)
    assert dvc_status(project) == "{}"
    assert commits(project) == 3
    assert outcome.reasons == ["5 new images in week"]
    assert len(outcome.judged_first.split()) == 5  # new images are there, and nothing is trained on them yet
    assert outcome.judged_first in message(outcome)
    assert verdicts(outcome) == {"strange": "quarantined", "week": "taken in"}
    (place,) = (project.root / "quarantine").iterdir()
    assert (place / "strange/green").is_dir()
    assert (project.root / "artifacts/train/model.txt").read_text().count("\n") == 12
    assert "dataset: colours" in (project.root / "data.dvc").read_text()


@pytest.mark.parametrize("lost", ["data", "artifacts/train/model.txt"])
def test_what_did_not_get_into_the_cache_is_not_recorded(
    project: Project, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Draw 2 of tests/hard/accidents.py retrain: DVC ended well, and no run after it could read what was committed."""
    before = state_of(project)
    deliver(project.root / "inbox/week", NEW)
    really = quick.pipeline

    def pipeline(own: Project, arguments: list[str], **more: Any) -> None:
        really(own, arguments, **more)
        if arguments == ["split"]:
            return
        pointer = own.root / ("data.dvc" if lost == "data" else "dvc.lock")
        md5 = [line.split()[-1] for line in pointer.read_text().splitlines() if "md5: " in line][-1]
        (project.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink()

    with monkeypatch.context() as patch:
        patch.setattr("graft.automation.retraining.retraining.reproduce", pipeline)
        what = "the list of images" if lost == "data" else lost
        with pytest.raises(GraftError, match=f"could not put {what}.* into its cache"):
            retrain(project)
    assert state_of(project) == before
    retrain(project)
    is_clean(project, images=13)


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
