"""What must hold before the champion is changed, and what is told of the change."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evidence import good, judged, verdict_on, with_candidate

from graft.core.errors import GraftError
from graft.core.params.gate_params import GateParams
from graft.core.project import Project
from graft.registry.promotion.change_champion import Registry
from graft.registry.promotion.gate_rules import Evidence
from graft.registry.promotion.gate_verdict import DIGEST_TAG, VERDICT_FILE, GateVerdict, fetch_verdict, publish_verdict
from graft.registry.promotion.promote import promote, roll_back
from graft.registry.store.logged_models import files_of_version
from graft.registry.store.tracking_store import experiment_id

PARAMS = GateParams()


@pytest.fixture
def version(registry: Registry, home: Project) -> str:
    """A version with a run and files of its own: the challenger."""
    experiment = experiment_id(home, registry.client, "tints")
    run = registry.client.create_run(experiment, tags={"git.commit": "b" * 40, "git.dirty": "yes", "dvc.data": "d.dir"})
    registry.client.log_metric(run.info.run_id, "test_accuracy", 0.97)
    files = home.home / "files"
    files.mkdir()
    (files / "MLmodel").write_text("flavors: {}\n")
    tags = {"strategy": "frozen"}
    created = registry.client.create_model_version(registry.model, files.as_uri(), run.info.run_id, tags=tags)
    registry.client.set_registered_model_alias(registry.model, "challenger", str(created.version))
    return str(created.version)


def judge(
    registry: Registry, version: str, evidence: Evidence | None = None, champion: str | None = None
) -> GateVerdict:
    """Publishes the verdict that evidence amounts to, as if it were about the version as it is."""
    evidence = evidence or good()
    registered = registry.client.get_model_version(registry.model, version)
    with files_of_version(registry.client, registry.model, version) as (_, digest):
        found = {"version": version, "run_id": registered.run_id, "digest": digest}
    evidence = replace(
        evidence, candidate=evidence.candidate.model_copy(update=found), champion=judged(champion) if champion else None
    )
    verdict = verdict_on(evidence, PARAMS)
    publish_verdict(registry.client, verdict)
    return verdict


def artifact(registry: Registry, version: str) -> Path:
    run = registry.client.get_run(registry.client.get_model_version(registry.model, version).run_id)
    return Path(run.info.artifact_uri.removeprefix("file://")) / VERDICT_FILE


def champion(registry: Registry) -> str | None:
    return registry.line().champion


def test_a_passing_verdict_makes_the_challenger_champion(registry: Registry, version: str) -> None:
    verdict = judge(registry, version)
    changed = promote(registry, reason="it is  the\nfirst")
    assert champion(registry) == version
    (entry,) = registry.line().entries
    assert entry == changed.entry
    assert (entry.action, entry.version, entry.before) == ("promoted", version, None)
    assert (entry.forced, entry.reason) == (False, "it is the first")
    assert entry.verdict == {"sha256": verdict.sha256, "passed": True, "failed": []}
    # Made from commit b with changes, all of which c holds, as the verdict says.
    assert (entry.strategy, entry.commit, entry.uncommitted, entry.data) == ("frozen", "c" * 40, False, "d.dir")
    assert entry.figures == {"accuracy": 0.97}
    assert (changed.settled, changed.previous) == ([], None)
    tags = registry.client.get_model_version(registry.model, version).tags
    assert tags["promoted.at"] == entry.at
    assert tags["promoted.why"] == "it is the first"
    assert tags["promoted.verdict"] == f"passed, sha256 {verdict.sha256}"
    assert tags["promoted.commit"] == "c" * 40
    assert tags["promoted.data"] == "d.dir"
    assert tags["gate.passed"] == "yes"


def test_what_the_gate_has_not_judged_is_not_promoted(registry: Registry, version: str) -> None:
    with pytest.raises(GraftError, match=rf"has not judged version {version} of 'tints'.*graft gate"):
        promote(registry)
    assert champion(registry) is None
    assert registry.line().entries == ()


def test_what_the_gate_refused_is_promoted_by_force_only_with_a_reason(registry: Registry, version: str) -> None:
    verdict = judge(registry, version, with_candidate(accuracy=0.2, size_mb=9e9))
    with pytest.raises(GraftError, match=r"refused version . of 'tints' at 2026-01-02.*: minimum, size"):
        promote(registry)
    for reason in ("", "  \n"):
        with pytest.raises(GraftError, match="needs its reason"):
            promote(registry, reason=reason, forced=True)
    assert champion(registry) is None
    promote(registry, reason="the old one is broken", forced=True)
    assert champion(registry) == version
    (entry,) = registry.line().entries
    assert (entry.forced, entry.reason) == (True, "the old one is broken")
    assert entry.verdict == {"sha256": verdict.sha256, "passed": False, "failed": ["minimum", "size"]}
    tags = registry.client.get_model_version(registry.model, version).tags
    assert tags["promoted.verdict"] == "forced"


def test_a_verdict_against_another_champion_is_not_enough(registry: Registry, version: str) -> None:
    judge(registry, version)
    promote(registry, "1", "meanwhile", forced=True)
    with pytest.raises(GraftError, match=r"with no champion, and now there is champion 1.*graft gate"):
        promote(registry)
    judge(registry, version, champion="1")
    promote(registry)
    assert registry.line().stack() == ["1", version]
    assert registry.line().previous == "1"


def test_files_that_changed_since_the_verdict_are_not_promoted(registry: Registry, version: str, home: Project) -> None:
    judge(registry, version)
    (home.home / "files" / "MLmodel").write_text("flavors: {python_function: {}}\n")
    with pytest.raises(GraftError, match="not those that the gate judged: their SHA-256"):
        promote(registry)
    assert champion(registry) is None


def test_a_verdict_that_was_changed_or_is_gone_is_none(registry: Registry, version: str) -> None:
    verdict = judge(registry, version, with_candidate(accuracy=0.2))
    file = artifact(registry, version)
    file.write_text(file.read_text().replace('"passed": false', '"passed": true'))
    with pytest.raises(GraftError, match=r"not the one that version . of 'tints' was judged by"):
        promote(registry)
    file.unlink()
    with pytest.raises(GraftError, match=r"verdict on version . of 'tints' is not in its run"):
        promote(registry)
    assert champion(registry) is None
    promote(registry, reason="no verdict to be had", forced=True)
    (entry,) = registry.line().entries
    assert (entry.verdict, entry.commit, entry.uncommitted) == ({}, "b" * 40, True)
    assert verdict.passed is False


def test_l12_a_store_that_is_away_is_not_said_to_lack_the_verdict(
    registry: Registry, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(registry, version)

    def away(*arguments: Any) -> None:
        raise ConnectionError("Connection refused")

    monkeypatch.setattr(type(registry.client), "download_artifacts", away)
    with pytest.raises(GraftError, match=r"cannot be read from MLflow: Connection refused"):
        promote(registry)


def test_a_verdict_of_another_graft_is_none(registry: Registry, version: str) -> None:
    judge(registry, version)
    text = '{"model": "tints", "passed": true}\n'
    artifact(registry, version).write_text(text)
    registry.client.set_model_version_tag(
        registry.model, version, DIGEST_TAG, hashlib.sha256(text.encode()).hexdigest()
    )
    with pytest.raises(GraftError, match="written by another version of graft.*Judge it again"):
        promote(registry)


def test_a_verdict_about_another_version_is_none(registry: Registry, version: str) -> None:
    verdict = judge(registry, version)
    other = verdict.model_copy(update={"candidate": verdict.candidate.model_copy(update={"version": "1"})})
    registry.client.log_text(verdict.candidate.run_id, other.text(), VERDICT_FILE)
    registry.client.set_model_version_tag(registry.model, version, DIGEST_TAG, other.sha256)
    with pytest.raises(GraftError, match="is about version 1 of 'tints'"):
        promote(registry)


def test_the_verdict_comes_back_as_it_was_written(registry: Registry, version: str) -> None:
    verdict = judge(registry, version)
    registered = registry.client.get_model_version(registry.model, version)
    assert fetch_verdict(registry.client, registered) == verdict
    assert fetch_verdict(registry.client, registry.client.get_model_version(registry.model, "1")) is None


def test_the_champion_is_not_promoted_again(registry: Registry) -> None:
    promote(registry, "1", "the first", forced=True)
    with pytest.raises(GraftError, match="Version 1 of 'tints' is champion already"):
        promote(registry, "1", "again", forced=True)
    assert len(registry.line().entries) == 1


@pytest.mark.parametrize("version", ["9", "one", "-1", "1.0", ""])
def test_a_version_that_is_not_there_is_named(registry: Registry, version: str) -> None:
    registry.client.delete_registered_model_alias(registry.model, "challenger")
    message = "has no challenger of 'tints'.*graft run" if not version else f"has no version {version} of"
    with pytest.raises(GraftError, match=message):
        promote(registry, version, "because", forced=True)


def test_a_model_that_is_not_there_has_no_challenger(registry: Registry) -> None:
    nothing = replace(registry, model="nothing")
    with pytest.raises(GraftError, match="no challenger of 'nothing'"):
        promote(nothing)
    with pytest.raises(GraftError, match="'nothing' has no earlier champion to go back to: there never was one"):
        roll_back(nothing)
    assert nothing.line().entries == ()


def test_a_reason_is_no_novel(registry: Registry) -> None:
    with pytest.raises(GraftError, match="reason has 1,001 characters, and the registry keeps 1,000"):
        promote(registry, "1", "x" * 1001, forced=True)
    promote(registry, "1", "ü" * 1000, forced=True)
    assert registry.line().entries[0].reason == "ü" * 1000


def test_rolling_back_goes_down_the_line_to_the_first(registry: Registry) -> None:
    for number in "1234":
        promote(registry, number, f"number {number}", forced=True)
    assert registry.line().previous == "3"
    for target, previous in (("3", "2"), ("2", "1"), ("1", None)):
        changed = roll_back(registry, f"back to {target}")
        assert changed.entry.version == target
        assert changed.previous == previous
        assert champion(registry) == target
        assert registry.line().previous == previous
    with pytest.raises(GraftError, match="no earlier champion to go back to: version 1 is the first"):
        roll_back(registry)
    assert champion(registry) == "1"
    tags = registry.client.get_model_version(registry.model, "4").tags
    assert tags["rolled_back.why"] == "back to 3"
    # And up again: what was rolled back is not lost, it only needs a promotion of its own.
    promote(registry, "4", "after all", forced=True)
    assert registry.line().stack() == ["1", "4"]
    assert registry.line().previous == "1"


def test_a_rollback_goes_to_the_champion_before_not_to_the_number_before(registry: Registry) -> None:
    for number in ("3", "1", "3", "2"):
        promote(registry, number, "to and fro", forced=True)
    assert [roll_back(registry).entry.version for _ in range(3)] == ["3", "1", "3"]


def test_a_version_that_was_deleted_is_passed_over(registry: Registry) -> None:
    for number in "123":
        promote(registry, number, f"number {number}", forced=True)
    registry.client.delete_model_version(registry.model, "2")
    assert roll_back(registry).entry.version == "1"
    assert registry.line().stack() == ["1"]
    assert registry.line().previous is None


def test_a_champion_that_was_deleted_is_followed_by_the_one_before(registry: Registry) -> None:
    for number in "12":
        promote(registry, number, f"number {number}", forced=True)
    registry.client.delete_model_version(registry.model, "2")  # MLflow takes its aliases away with it
    assert champion(registry) is None
    assert roll_back(registry).entry.version == "1"
    assert champion(registry) == "1"


def test_a_champion_without_its_alias_is_given_it_back(registry: Registry) -> None:
    for number in "12":
        promote(registry, number, f"number {number}", forced=True)
    registry.client.delete_registered_model_alias(registry.model, "champion")
    assert roll_back(registry).entry.version == "2"
    assert registry.line().stack() == ["1", "2"]
    assert roll_back(registry).entry.version == "1"


def test_b5_a_version_that_was_rolled_back_comes_back_by_force_with_a_reason_alone(
    registry: Registry, version: str
) -> None:
    promote(registry, "1", "the first", forced=True)
    judge(registry, version, champion="1")
    promote(registry)
    roll_back(registry, "wrong at night")
    # The gate has passed it against this very champion, and it is the challenger still.
    message = rf"Version {version} of 'tints' was rolled back by .*: wrong at night.*--without-gate --reason"
    for number in (None, version):
        with pytest.raises(GraftError, match=message):
            promote(registry, number, "again")
    assert champion(registry) == "1"
    promote(registry, reason="mended lamps", forced=True)
    promote(registry, "1", "back", forced=True)
    # What a person has brought back is a version like any other again.
    judge(registry, version, champion="1")
    promote(registry)
    assert champion(registry) == version
