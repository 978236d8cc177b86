"""Strategy ``auto``: measures, then trains what that advises."""

from __future__ import annotations

from dataclasses import replace

from graft.advice.advise import Advice, advise
from graft.advice.report import print_advice
from graft.params.strategies import AutoParams, FrozenParams
from graft.training.strategies import fine_tune, frozen
from graft.training.strategy import Task, Trained


def train(params: AutoParams, task: Task) -> Trained:
    """The recommended strategy, trained as if it had been named; the advice goes with the result."""
    with task.clock.span("advice"):
        advice = advice_for(params, task)
    print_advice(advice)
    strategy = advice.strategy.model_copy(
        update={"batch_size": min(params.batch_size, len(task.train.labels))}
    )
    trained = (
        frozen.train(strategy, task)
        if isinstance(strategy, FrozenParams)
        else fine_tune.train(strategy, task)
    )
    return replace(trained, advice=replace(advice, strategy=strategy))


def advice_for(params: AutoParams, task: Task) -> Advice:
    """What to train on the task's images."""
    assert task.groups is not None  # given to this kind of strategy
    return advise(
        params, task.train, task.groups, task.image_size, task.seed, task.cache, task.store, task.name
    )
