"""Strategy ``auto``: measures, then trains what that advises."""

from __future__ import annotations

from dataclasses import replace

from graft.analysis.advisor.advice_report import print_advice
from graft.analysis.advisor.advice_rules import head_alone
from graft.analysis.advisor.advise import Advice, advise
from graft.core.params.strategy_params import AutoParams, FrozenParams
from graft.core.progress import console
from graft.networks.engines.devices import arithmetic
from graft.training.strategies import fine_tune, frozen
from graft.training.strategy import Task, Trained


def train(params: AutoParams, task: Task) -> Trained:
    """The recommended strategy, trained as if it had been named; the advice goes with the result.

    Where the backbone was trained and does worse on validation than a linear classifier on a frozen one was measured
    to do, the head alone is trained on that too, and validation chooses.
    """
    with task.clock.span("advice"):
        advice = advice_for(params, task)
    print_advice(advice)
    strategy = advice.strategy.model_copy(update={"batch_size": params.batch_size})
    if isinstance(strategy, FrozenParams):
        return replace(frozen.train(strategy, task), advice=replace(advice, strategy=strategy))
    assert strategy.precision is not None  # that of params
    with arithmetic(strategy.precision):  # also where that is auto: measured was in float32, as features are
        trained = replace(fine_tune.train(strategy, task), advice=replace(advice, strategy=strategy))
    reached, rival = _accuracy(trained, task), advice.best_frozen
    if reached >= rival.top.accuracy:
        return trained
    # Training the backbone did not pay: on images like these another one, as it is, may be worth more.
    words = f"{rival.backbone.name} frozen promises {rival.top.accuracy:.1%}"
    console.print(
        f"{task.name}: {reached:.1%} on validation, where {words}: its head is trained too", soft_wrap=True
    )
    head = head_alone(rival, advice.flip).model_copy(
        update={key: getattr(strategy, key) for key in ("image_size", "seed", "precision", "batch_size")}
    )
    other = frozen.train(head, task)
    kept = other if _accuracy(other, task) > reached else trained
    found = f"on validation {reached:.1%} fine-tuned, {_accuracy(other, task):.1%} with {rival.backbone.name} frozen"
    chosen = {"strategy": head, "chosen": rival} if kept is other else {"strategy": strategy}
    return replace(kept, advice=replace(advice, outcome=found, **chosen))


def _accuracy(trained: Trained, task: Task) -> float:
    return float((trained.val_logits.argmax(axis=1) == task.val.labels).mean())


def advice_for(params: AutoParams, task: Task) -> Advice:
    """What to train on the task's images."""
    assert task.groups is not None  # given to this kind of strategy
    return advise(
        params, task.train, task.groups, task.image_size, task.seed, task.cache, task.store, task.name
    )
