"""What a retraining has recorded stays, and what follows is tried again."""

import os
from typing import Any

import pytest
from quick import retrain
from retrained import NEW, is_clean
from small_project import deliver, pictures_in, shell

from graft.automation.retraining.finishing import abandon
from graft.automation.retraining.outcome import read_open
from graft.automation.retraining.retraining import Retraining
from graft.core.errors import GraftError
from graft.core.lock import project_lock
from graft.core.project import Project

pytestmark = pytest.mark.usefixtures("no_outside_settings")


@pytest.fixture
def project(quick_project: Project) -> Project:
    return quick_project


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
            patch.setattr(Retraining, "notified", lambda self: None)
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
