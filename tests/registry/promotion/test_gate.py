"""The gate as a whole, on models that were trained and registered: each is asked in a process of its own."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from recorded import copy_of
from tiny import CLASSES, COUNTS, tiny_params
from typer.testing import CliRunner

from graft.bundle.model import ImageClassifier
from graft.cli.main import app
from graft.core.errors import GraftError
from graft.core.params.models import RegisterParams
from graft.core.project import Project
from graft.data.checks.check_verdict import Verdict, write_verdict
from graft.data.splits.image_groups import read_groups
from graft.data.splits.split_tables import read_split_table, read_splits
from graft.evaluation.intervals import share_interval
from graft.evaluation.metrics import evaluate
from graft.registry.promotion import judge_challenger
from graft.registry.promotion.ask_first import judge_first
from graft.registry.promotion.change_champion import Registry
from graft.registry.promotion.delivery_evidence import read_evidence
from graft.registry.promotion.gate import run_gate
from graft.registry.promotion.gate_verdict import GateVerdict, fetch_verdict, verdict_file
from graft.registry.promotion.judge_challenger import ask
from graft.registry.promotion.judged_predictions import VersionPredictions, read_predictions
from graft.registry.promotion.later_images import later_images
from graft.registry.promotion.promote import open_registry, promote
from graft.registry.register import register_best
from graft.registry.store.logged_models import HASH_TAG, model_hash
from graft.registry.store.seen_images import log_seen_images, read_seen_images

ROOT = Path(__file__).parents[3]
IMAGES = len(CLASSES) * COUNTS["test"]


@pytest.fixture(scope="module")
def finished(recorded: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A recorded project with its verdicts on the data, and both strategies registered: versions 1 and 2."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        project = copy_of(recorded, tmp_path_factory.mktemp("gate") / "project")
        for stage in ("validate", "split"):
            verdict = Verdict(passed=True, images=3, left_out=0, warnings=[], off=[], rules=[])
            write_verdict(verdict, project.artifacts(stage) / "verdict.json")
        for name in ("first", "second"):
            register_best(project, RegisterParams(), {name: project.strategy(name)})
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path, no_outside_settings: None) -> Project:
    return copy_of(finished, tmp_path / "project")


@pytest.fixture
def registry(project: Project) -> Registry:
    return open_registry(project, "tints")


@pytest.mark.slow
def test_candidate_and_champion_are_judged_as_they_are_registered_on_the_same_images(
    project: Project, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(registry, "1", "to have one", forced=True)
    verdict = run_gate(project, tiny_params(), registry)
    assert verdict.champion is not None
    assert (verdict.candidate.version, verdict.champion.version) == ("2", "1")
    test = read_splits(project, ["test"])["test"]
    labels = np.array([CLASSES.index(label) for label in test["label"]])
    data = [(project.data / path).read_bytes() for path in test["path"]]
    right = {}
    for judged, name in ((verdict.candidate, "second"), (verdict.champion, "first")):
        answers = ImageClassifier(project.strategy(name) / "model").predict(data)["probabilities"]
        probabilities = np.array([[row[label] for label in CLASSES] for row in answers])
        figures = evaluate(labels, probabilities, CLASSES)
        assert judged.accuracy == pytest.approx(figures.accuracy)
        assert judged.macro_f1 == pytest.approx(figures.macro_f1)
        assert judged.log_loss == pytest.approx(figures.log_loss, rel=1e-5)
        assert {label: of_class.recall for label, of_class in judged.classes.items()} == pytest.approx(
            {label: of_class["recall"] for label, of_class in figures.per_class.items()}
        )
        assert judged.latency_ms > 0
        assert 0.01 < judged.size_mb < 10
        assert judged.strategy == name
        right[name] = probabilities.argmax(axis=1) == labels
    assert verdict.comparison is not None
    assert verdict.comparison.images == verdict.test.images == IMAGES
    assert verdict.comparison.only_candidate_right == (right["second"] & ~right["first"]).sum()
    assert verdict.comparison.only_champion_right == (right["first"] & ~right["second"]).sum()
    table = project.split_table("test").read_bytes()
    assert verdict.test.table_sha256 == hashlib.sha256(table).hexdigest()

    # Both are asked about an image once: the predictions are in their runs, and the champion is not run again.
    for judged, name in ((verdict.candidate, "second"), (verdict.champion, "first")):
        existing = read_predictions(registry.client, judged.run_id)
        assert existing is not None
        assert existing.digest == judged.digest
        assert (existing.predicted() == test.set_index("sha256")["label"][existing.sha256]).tolist() == (
            pd.Series(right[name], test["sha256"])[existing.sha256].tolist()
        )
    roles = []
    monkeypatch.setattr(judge_challenger, "ask", lambda *some, **more: roles.append(some[-2]) or ask(*some, **more))
    again = run_gate(project, tiny_params(), registry)
    assert roles == ["candidate"]
    assert again.champion == verdict.champion
    assert again.comparison == verdict.comparison
    assert again.standing.judged == 2
    assert again.standing.metric == "accuracy"

    # Images that the champion has not seen: it answers for them before training, once, and the later version has seen
    # them, so that it is no challenger.
    run_id, record = verdict.champion.run_id, read_seen_images(registry.client, verdict.champion.run_id)
    assert record is not None
    later = later_images(project)
    unseen = set(later.loc[later["group"].isin(later["group"].unique()[:3]), "sha256"])
    log_seen_images(registry.client, run_id, record[~record["sha256"].isin(unseen)])
    for _ in range(2):
        evidence = judge_first(project, tiny_params(), registry)
        assert evidence is not None
        rows = read_evidence(registry.client, run_id)
        assert set(rows["sha256"]) == unseen
        assert (rows["challenger"] == "").all()
        assert (evidence.images, evidence.alone) == (0, len(unseen))
        assert rows["log_loss"].between(0, 40).all()
    assert roles == ["candidate", "champion"]
    groups = read_groups(project.test_groups, list(test["sha256"]))
    assert evidence.promised == pytest.approx(share_interval(right["first"], groups, 0.9).low)

    # This project is in no repository, and no test image was in training.
    outcomes = {rule.name: rule.passed for rule in verdict.rules}
    assert outcomes["unseen_test"]
    assert outcomes["data_verdict"]
    assert not outcomes["reproducible"]

    # The same verdict is in the project, in the run, and named by the version.
    assert GateVerdict.model_validate_json(verdict_file(project).read_text()) == again
    version = registry.client.get_model_version("tints", "2")
    assert fetch_verdict(registry.client, version) == again
    assert version.tags["gate.passed"] == ("yes" if verdict.passed else "no")


@pytest.mark.slow
def test_the_first_candidate_is_judged_alone_and_by_the_command(
    project: Project, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "params.yaml", project.root)
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("COLUMNS", "200")
    # Four images of training in test, and no commit: one rule for each is broken whatever the figures are.
    tables = [read_split_table(project.split_table(split)) for split in ("test", "train")]
    mixed = pd.concat([tables[0], tables[1].iloc[:4]]).sort_values("sha256")
    mixed.to_csv(project.split_table("test"), index=False, lineterminator="\n")
    result = CliRunner().invoke(app, ["gate", "--version", "1"])
    assert result.exit_code == 1
    assert f"tints version 1 (first), no champion yet, on {IMAGES + 4} images of test" in result.output
    assert f"the candidate (version 1) has seen 4 of {IMAGES + 4}" in result.output
    assert "no champion: nothing to compare with" in result.output
    assert "Refused by" in result.output
    assert "Verdict: artifacts/gate/verdict.json" in result.output
    written = json.loads(verdict_file(project).read_text())
    assert written["champion"] is None
    assert {"unseen_test", "reproducible"} <= {rule["name"] for rule in written["rules"] if not rule["passed"]}
    with pytest.raises(GraftError, match=r"The gate refused version 1 of 'tints'"):
        promote(registry, "1")


@pytest.mark.slow
def test_an_image_that_changed_since_the_split_is_not_judged_on(project: Project, registry: Registry) -> None:
    path = read_splits(project, ["test"])["test"]["path"].iloc[3]
    (project.data / path).write_bytes((project.data / path).read_bytes() + b"\0")
    with pytest.raises(GraftError, match=rf"{path} is not the image that was split.*graft run"):
        run_gate(project, tiny_params(), registry, "1")
    assert not verdict_file(project).exists()


def test_a_model_whose_files_changed_is_not_asked(project: Project, registry: Registry, tmp_path: Path) -> None:
    registry.client.set_model_version_tag("tints", "1", HASH_TAG, "0" * 64)
    with pytest.raises(GraftError, match=r"not those that were registered.*says 000000000000"):
        run_gate(project, tiny_params(), registry, "1")


def test_a_version_without_a_run_has_nowhere_to_put_a_verdict(project: Project, registry: Registry) -> None:
    registry.client.create_model_version("tints", "file:///nowhere")
    with pytest.raises(GraftError, match="Version 3 of 'tints' was registered without a run"):
        run_gate(project, tiny_params(), registry, "3")


def test_what_is_no_model_says_so(project: Project, tmp_path: Path) -> None:
    table = read_splits(project, ["test"])["test"]
    with pytest.raises(GraftError, match=r"The candidate, version 9, cannot be loaded or does not answer.*MLmodel"):
        ask(project, tmp_path, table, table, 8, "version 9", "candidate")


def test_m10_a_model_that_does_not_answer_is_ended(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nsleep 600\n")
    hanging.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(hanging))
    table = read_splits(project, ["test"])["test"]
    with pytest.raises(GraftError, match=r"version 9, had not answered after 1 s, and was ended"):
        ask(project, tmp_path, table, table, 8, "version 9", "candidate", limit=1)


def test_a_class_that_a_model_does_not_know_is_one_that_it_never_names() -> None:
    predictions = VersionPredictions("d", ["a", "c"], ["1", "2"], np.array([[0.3, 0.7], [0.9, 0.1]]), 1.0)
    assert predictions.of(["2", "1", "2"], ["a", "c", "b"]).tolist() == [[0.9, 0.1, 0], [0.3, 0.7, 0], [0.9, 0.1, 0]]


def test_the_hash_of_a_model_follows_every_file_and_nothing_that_comes_later(tmp_path: Path) -> None:
    for name, text in (("MLmodel", "a"), ("data/model.json", "b")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    first = model_hash(tmp_path)
    (tmp_path / "registered_model_meta").write_text("by MLflow, when it is fetched")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_text("by Python")
    assert model_hash(tmp_path) == first
    (tmp_path / "data" / "model.json").write_text("c")
    assert model_hash(tmp_path) != first
    (tmp_path / "data" / "model.json").write_text("b")
    assert model_hash(tmp_path) == first
    (tmp_path / "data" / "model.json").rename(tmp_path / "data" / "other.json")
    assert model_hash(tmp_path) != first
