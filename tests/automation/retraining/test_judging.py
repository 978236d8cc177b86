"""What a retraining makes of the gate's word, and of a person's."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_project import REPOSITORY

from graft.automation.retraining.judging import judge_challenger, judge_deliveries, mark_killed
from graft.automation.retraining.outcome import Outcome
from graft.core.errors import GraftError
from graft.core.params import Params, load_params
from graft.core.project import Project
from graft.registry.aliases import CHALLENGER, CHAMPION
from graft.registry.promotion import ask_first, gate, line, promote
from graft.registry.promotion import change_champion as change
from graft.registry.promotion.delivery_evidence import DeliveryEvidence
from graft.registry.promotion.line import Line
from graft.registry.promotion.standing import Standing
from graft.registry.store import read_registry

AT = "2026-11-25T03:00:12+00:00"


def judged(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    rolled_back: str | None,
    alias: str = "3",
    deliveries: DeliveryEvidence | None = None,
) -> Any:
    """The outcome of judging version 3, where version 2 is champion, and what was promoted with which words."""
    registered = tmp_path / "artifacts/register/registered.json"
    registered.parent.mkdir(parents=True)
    registered.write_text('{"version": "3"}')
    promoted: list[tuple[str, str, dict[str, Any]]] = []
    figures = SimpleNamespace(strategy="frozen", accuracy=0.9, macro_f1=0.9, log_loss=0.1)
    standing = Standing(
        **{"metric": "accuracy", "judged": 2, "candidate": 0.9, "candidate_flattery": 0, "images": 100},
        **{"gain": 0.01, "difference": 0.0, "lower": -0.1, "deliveries": deliveries},
    )
    verdict = SimpleNamespace(passed=True, candidate=figures, champion=None, broken=[], standing=standing)
    of_hands = Line("hands", {CHAMPION: "2", CHALLENGER: alias}, ())
    monkeypatch.setattr(promote, "open_registry", lambda project, model: SimpleNamespace(model=model))
    monkeypatch.setattr(change, "complete_interrupted", lambda registry: (of_hands, []))
    monkeypatch.setattr(promote, "rolled_back", lambda model, line, version: rolled_back)

    def run_gate(
        own: Project, params: Params, registry: Any, version: str, commit: str, limit: float, shadow: Any
    ) -> Any:
        assert (version, commit, limit) == ("3", "0" * 40, 60 * params.retrain.timeout_minutes)
        assert shadow(version) == []  # nothing was logged in the project
        return verdict

    monkeypatch.setattr(gate, "run_gate", run_gate)
    monkeypatch.setattr(
        promote, "promote", lambda registry, version, reason, **more: promoted.append((version, reason, more))
    )
    outcome, project = Outcome(AT, "hands"), Project(tmp_path)
    judge_challenger(
        project, project, load_params(REPOSITORY / "params.yaml"), "0" * 40, outcome, "retraining: 5 images of week"
    )
    return outcome, promoted


def test_what_passes_is_promoted_and_never_by_force(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outcome, promoted = judged(monkeypatch, tmp_path, rolled_back=None)
    assert promoted == [("3", "retraining: 5 images of week", {})]
    assert outcome.events == ["promoted"]


def test_a_promotion_that_a_stuck_champion_was_the_reason_for_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stuck = DeliveryEvidence(images=300, champion=0.8, challengers=0.9, better=31, needed=20)
    outcome, ((_, reason, _),) = judged(monkeypatch, tmp_path, rolled_back=None, deliveries=stuck)
    assert reason.startswith("retraining: 5 images of week; Of 300 images that came later the champion has 80.0% right")
    assert outcome.shown == stuck.shown() != ""


@pytest.mark.parametrize("champion", ["2", None])
def test_deliveries_are_judged_once_they_are_split_and_where_there_is_a_champion(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, champion: str | None
) -> None:
    steps: list[str] = []
    found = DeliveryEvidence(images=5, champion=0.8, challengers=1.0, needed=20)
    monkeypatch.setattr(read_registry, "read_registry", lambda project: None)
    aliases = {CHAMPION: champion} if champion else {}
    monkeypatch.setattr(line, "read_line", lambda registry, model: Line(model, aliases, ()))
    monkeypatch.setattr(promote, "open_registry", lambda project, model: None)
    monkeypatch.setattr(ask_first, "judge_first", lambda *some: steps.append("judge") or found)
    params, outcome = load_params(REPOSITORY / "params.yaml"), Outcome(AT, "hands")
    judge_deliveries(Project(tmp_path), params, outcome, lambda: steps.append("split"))
    assert steps == (["split", "judge"] if champion else [])
    assert outcome.judged_first == (found.sentences()[0] if champion else "")

    def fail(*some: Any) -> None:
        raise GraftError("The champion cannot be loaded", "")

    monkeypatch.setattr(ask_first, "judge_first", fail)
    judge_deliveries(Project(tmp_path), params, outcome, lambda: None)
    if champion:
        assert outcome.judged_first == "New images were not judged before training: The champion cannot be loaded."

    def fail_to_split() -> None:
        raise GraftError("There is no stage 'split'", "")

    judge_deliveries(Project(tmp_path), params, outcome, fail_to_split)
    if champion:
        assert outcome.judged_first == "New images were not judged before training: There is no stage 'split'."


def test_m2_what_the_commit_registered_is_judged_and_not_what_the_alias_names_by_now(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outcome, promoted = judged(monkeypatch, tmp_path, rolled_back=None, alias="4")
    assert (outcome.version, [version for version, *_ in promoted]) == ("3", ["3"])


def test_b5_a_version_that_a_person_rolled_back_stays_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outcome, promoted = judged(monkeypatch, tmp_path, rolled_back="Version 3 was rolled back")
    assert promoted == []
    assert outcome.events == ["refused"]
    assert outcome.refused[0].startswith("Version 3 was rolled back. A person may promote it")
    assert outcome.champion == "2"


def test_b4_what_a_killed_run_left_in_mlflow_is_marked(tmp_path: Path, no_outside_settings: None) -> None:
    from graft.registry.store.tracking_store import open_store

    project = Project(tmp_path)
    client = open_store(project)
    experiment = client.create_experiment("hands")
    mine, other = (client.create_run(experiment, tags={"retraining": name}) for name in ("mine", "another"))
    assert mark_killed(project, "mine") == 1
    assert client.get_run(mine.info.run_id).info.status == "KILLED"
    assert client.get_run(other.info.run_id).info.status == "RUNNING"
    assert mark_killed(project, "mine") == 0
