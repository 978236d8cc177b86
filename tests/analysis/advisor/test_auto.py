"""Strategy `auto`: trains what it advises, and leaves the advice beside it; `graft advise` says the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import clock, tiny_params

from graft.analysis.advisor.advice_report import settings_text
from graft.analysis.advisor.advice_rules import Measured
from graft.analysis.advisor.advise import advise, sample
from graft.core.errors import GraftError
from graft.core.params.backbone_params import KerasBackboneParams
from graft.core.params.strategy_params import AutoParams, FineTuneParams, FrozenParams
from graft.core.params.train_params import TrainParams
from graft.core.project import Project
from graft.networks.decode_images import DecodedImages
from graft.training.train import advise_strategy, train_strategy

SIZE = 32


def auto_params(**changes: Any) -> TrainParams:
    auto = {"kind": "auto", "depths": 2, "folds": 2, "batch_size": 8, **changes}
    return tiny_params(run=["auto"], image_size=SIZE, strategies={"auto": auto}).train


def test_it_trains_what_it_advises(project: Project) -> None:
    # From random weights; with an error of 99 % allowed, the head alone is enough.
    result = train_strategy(project, auto_params(enough=0.99), "auto", clock())
    advice = result.trained.advice
    assert advice is not None
    assert isinstance(advice.strategy, FrozenParams)
    record = json.loads((project.strategy("auto") / "advice.json").read_text())
    assert record["strategy"]["kind"] == "frozen"
    assert record["looked_at"] == record["images"] == 24
    assert [len(one["depths"]) for one in record["backbones"]] == [2]
    assert (project.strategy("auto") / "advice.png").read_bytes().startswith(b"\x89PNG")
    assert (project.strategy("auto") / "model" / "model.json").is_file()


@pytest.mark.slow
def test_where_the_head_is_not_enough_the_backbone_is_trained(project: Project) -> None:
    params = auto_params(enough=0.0)
    advice = advise_strategy(project, params, "auto")
    result = train_strategy(project, params, "auto", clock())
    assert result.trained.advice is not None
    if advice.chosen.top.accuracy < 1:
        assert advice.strategy.kind == "fine_tune"
        assert len(result.trained.fit.epochs) == advice.strategy.epochs
    assert advice.as_record()["strategy"]["kind"] == result.trained.advice.strategy.kind
    assert "advised:" in settings_text(advice)
    assert "MobileNet" in settings_text(advice)


@pytest.mark.parametrize("is_right", [False, True])
def test_a_head_alone_is_tried_where_training_the_backbone_did_not_pay(
    project: Project, monkeypatch: pytest.MonkeyPatch, is_right: bool
) -> None:
    from graft.training.strategies import auto
    from graft.training.strategy import Task, Trained

    # Stands for a backbone whose training went badly, or well.
    def train_badly_or_well(params: FineTuneParams, task: Task) -> Trained:
        head = auto.frozen.train(auto.head_alone(rival, "none").model_copy(update=shared(params)), task)
        logits = np.eye(3)[task.val.labels]
        return replace(head, val_logits=logits if is_right else -logits)

    def shared(params: FineTuneParams) -> dict[str, object]:
        return {key: getattr(params, key) for key in ("image_size", "seed", "precision", "batch_size")}

    def recommend_training(measured: Measured, *arguments: object) -> FineTuneParams:
        nonlocal rival
        rival = measured
        return FineTuneParams(
            kind="fine_tune", backbone=measured.backbone, unfreeze="all", epochs=1, learning_rate=0.1
        )

    rival: Measured
    monkeypatch.setattr("graft.analysis.advisor.advise.recommend", recommend_training)
    monkeypatch.setattr(auto.fine_tune, "train", train_badly_or_well)
    result = train_strategy(project, auto_params(), "auto", clock())
    advice = result.trained.advice
    assert advice is not None
    assert advice.strategy.kind == ("fine_tune" if is_right else "frozen")
    assert bool(advice.outcome) is not is_right
    if not is_right:
        assert "0.0% fine-tuned" in advice.outcome
        assert any("0.0% fine-tuned" in reason for reason in advice.as_record()["reasons"])


def test_its_settings_parse_as_a_strategy_that_trains_the_same(project: Project) -> None:
    from ruamel.yaml import YAML

    advice = advise_strategy(project, auto_params(enough=0.99), "auto")
    settings = YAML(typ="safe").load(settings_text(advice))["advised"]
    params = tiny_params(run=["advised"], image_size=SIZE, strategies={"advised": settings}).train
    assert params.strategy("advised") == advice.strategy.model_copy(update={"precision": "auto"})


def test_a_sample_holds_the_same_share_of_each_class_and_moves_little() -> None:
    random = np.random.default_rng(0)
    keys = [random.bytes(32) for _ in range(1000)]
    labels = np.repeat([0, 1, 2], [700, 200, 100])
    chosen = sample(keys, labels, 200)
    assert np.bincount(labels[chosen]).tolist() == [140, 40, 20]
    assert (np.diff(chosen) > 0).all()
    more = keys + [random.bytes(32) for _ in range(100)]
    later = sample(more, np.append(labels, np.repeat([0, 1, 2], [70, 20, 10])), 200)
    assert len(set(chosen) & set(later)) > 150
    assert sample(keys, labels, 5000).tolist() == list(range(1000))


def test_c1_of_many_classes_a_sample_holds_enough_of_some() -> None:
    random = np.random.default_rng(0)
    keys = [random.bytes(32) for _ in range(20_000)]
    labels = np.repeat(np.arange(1000), 20)
    chosen = sample(keys, labels, 1000)
    counts = np.bincount(labels[chosen], minlength=1000)
    assert len(chosen) == 1000
    assert set(counts) == {0, 10}
    later = sample([*keys, random.bytes(32)], np.append(labels, 7), 1000)
    assert len(set(chosen) & set(later)) > 950
    # Small classes beside large ones, and classes of fewer images than it takes.
    labels = np.concatenate([np.repeat([0, 1], 9_000), np.repeat(np.arange(2, 42), 40), np.arange(42, 442)])
    chosen = sample(keys[:20_000], labels, 1000)
    counts = np.bincount(labels[chosen])
    assert (counts[:42] >= 10).all()


@pytest.mark.slow
def test_c1_a_thousand_classes_are_advised_on(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(1000), 12)
    images = random.integers(0, 256, (1000, 8, 8, 3), np.uint8)[labels]
    images[:, 0] = random.integers(0, 256, (len(labels), 8, 3))
    backbone = KerasBackboneParams(source="keras", name="MobileNet", weights="none")
    params = AutoParams(kind="auto", backbones=[backbone], depths=2, folds=2, max_images=100)
    images = DecodedImages(np.kron(images, np.ones((1, 4, 4, 1), np.uint8)), labels)
    advice = advise(params, images, np.arange(len(labels)), 32, 1, tmp_path, None, "test")
    assert (advice.classes, advice.looked_at_classes, advice.looked_at) == (1000, 10, 100)
    assert any("10 of 1,000 classes were looked at" in reason for reason in advice.reasons())


def test_a_hub_module_as_shared_backbone_is_refused_with_what_would_be_right(tmp_path: Path) -> None:
    with pytest.raises(GraftError, match=r"strategies.auto measures train.backbone.*Name keras backbones"):
        tiny_params(
            run=["auto"],
            backbone={"source": "hub", "name": str(tmp_path)},
            strategies={"auto": {"kind": "auto"}},
        )


def test_groups_are_asked_for(project: Project) -> None:
    project.training_groups.unlink()
    with pytest.raises(GraftError, match="dvc repro -f split"):
        train_strategy(project, auto_params(), "auto", clock())
