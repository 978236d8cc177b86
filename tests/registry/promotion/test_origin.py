"""Where a candidate comes from: the verdicts on its data, and the commit that holds what it was made from."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from graft.core.project import Project
from graft.data.checks.check_verdict import Verdict, write_verdict
from graft.data.splits.split_tables import read_split_table
from graft.registry.promotion import origin
from graft.registry.promotion.gate_rules import OriginFinding
from graft.registry.promotion.origin import reproducibility, state_of_data
from graft.registry.store.seen_images import images_of

COMMIT = "c" * 40
RUN = "1" * 32
CLEAN = {"git.commit": COMMIT, "git.dirty": "no", "dvc.data": "d" * 32 + ".dir", "dvc.stage": "train@small"}
DIRTY = {**CLEAN, "git.dirty": "yes"}


def write_verdicts(project: Project, **passed: bool) -> None:
    for stage in ("validate", "split"):
        ok = passed.get(stage, True)
        verdict = Verdict(passed=ok, images=3, left_out=0, warnings=[] if ok else ["w"], off=[], rules=[])
        write_verdict(verdict, project.artifacts(stage) / "verdict.json")


def seen(project: Project) -> pd.DataFrame:
    return images_of({split: read_split_table(project.split_table(split)) for split in ("train", "val")})


def test_data_that_passed_and_that_the_candidate_has_seen_holds(project: Project) -> None:
    write_verdicts(project)
    assert state_of_data(project, seen(project)) == OriginFinding(True, "validate passed, split passed", "")


@pytest.mark.parametrize("stage", ["validate", "split"])
def test_data_that_did_not_pass_is_named(project: Project, stage: str) -> None:
    write_verdicts(project, **{stage: False})
    found = state_of_data(project, seen(project))
    assert not found.holds
    assert f"{stage} did not pass with 1 warning" in found.observed


def test_without_a_verdict_nothing_is_known(project: Project) -> None:
    found = state_of_data(project, seen(project))
    assert not found.holds
    assert "There is no verdict at" in found.observed


def test_a_verdict_about_other_images_says_nothing_about_the_candidate(project: Project) -> None:
    write_verdicts(project)
    other = seen(project).replace({"sha256": {seen(project)["sha256"].iloc[0]: "0" * 64}})
    found = state_of_data(project, other)
    assert not found.holds
    assert "about other images: train has 24, the candidate had 24, 23 of them the same" in found.observed
    assert not state_of_data(project, None).holds


def git(project: Project, *arguments: str) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", *settings, *arguments]
    return subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def committed(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in git whose last run is that of strategy small, as its committed dvc.lock says."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.root.parent))
    monkeypatch.setattr(origin, "run_dvc", lambda *arguments: "{}\n")
    run = project.strategy("small") / "run.json"
    run.parent.mkdir(parents=True)
    run.write_text(json.dumps({"run_id": RUN, "model_uri": f"models:/m-{RUN}", "model_sha256": "0" * 64}))
    (project.root / "dvc.lock").write_text("schema: '2.0'\n")
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "first")
    return project


def of_run(project: Project, tags: dict[str, str], run_id: str = RUN) -> OriginFinding:
    folders: dict[str, Path] = {name: project.strategy(name) for name in ("small", "not_trained")}
    return reproducibility(project, tags, run_id, folders)


@pytest.mark.parametrize(("missing", "words"), [("git.commit", "outside git"), ("dvc.data", "DVC did not track it")])
def test_what_the_run_does_not_name_cannot_be_made_again(project: Project, missing: str, words: str) -> None:
    found = of_run(project, {name: value for name, value in CLEAN.items() if name != missing})
    assert not found.holds
    assert words in found.observed


def test_a_clean_commit_holds_it(project: Project) -> None:
    assert of_run(project, CLEAN) == OriginFinding(True, "made from commit cccccccccc, data dddddddddd", "", COMMIT)


def test_what_was_committed_afterwards_holds_it_too(committed: Project) -> None:
    (committed.artifacts("gate")).mkdir()
    (committed.artifacts("gate") / "verdict.json").write_text("{}")  # the gate's own, of an earlier time
    found = of_run(committed, DIRTY)
    assert found.holds
    assert found.commit == git(committed, "rev-parse", "HEAD")
    assert f"commit {found.commit[:10]} holds them" in found.observed


def test_a_run_that_does_not_know_whether_it_was_clean_was_not(committed: Project) -> None:
    unknown = {name: value for name, value in CLEAN.items() if name != "git.dirty"}
    assert "with changes that were not committed; commit" in of_run(committed, unknown).observed


def test_changes_that_are_still_not_committed_are_named_inputs_first(committed: Project) -> None:
    (committed.root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    (committed.root / "params.yaml").write_text("a: 1\n")
    found = of_run(committed, DIRTY)
    assert not found.holds
    assert found.remedy.endswith("commit them and judge again: params.yaml, dvc.lock")


def test_without_dvcs_lock_no_commit_holds_it(committed: Project) -> None:
    git(committed, "rm", "-q", "--cached", "dvc.lock")
    git(committed, "commit", "-q", "-m", "without")
    found = of_run(committed, DIRTY)
    assert not found.holds
    assert found.remedy.endswith("judge again: dvc.lock")


def test_another_run_in_artifacts_is_not_this_one(committed: Project) -> None:
    found = of_run(committed, DIRTY, "r2")
    assert not found.holds
    assert "artifacts/ holds another run" in found.observed


def test_a_stage_that_would_run_again_is_not_what_made_it(committed: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def status(project: Project, *arguments: str) -> str:
        asked.append(arguments)
        return '{"train@small": [{"changed deps": {"params.yaml": "modified"}}]}'

    monkeypatch.setattr(origin, "run_dvc", status)
    found = of_run(committed, DIRTY)
    assert not found.holds
    assert "what DVC's stage train@small depends on changed" in found.observed
    assert asked == [("status", "--json", "train@small")]
