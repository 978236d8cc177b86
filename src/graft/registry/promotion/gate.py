"""The gate: a candidate against the champion on images that neither has seen, and a verdict that names both."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from graft.core.errors import GraftError
from graft.core.files import sha256_of, write_file
from graft.core.model_folders import model_folders
from graft.core.params import Params
from graft.core.project import Project
from graft.data.splits.split_tables import read_new_test
from graft.evaluation.comparison import compare
from graft.evaluation.intervals import number_of_groups
from graft.registry.promotion.ask_first import ask_first
from graft.registry.promotion.at_work import ShadowAnswer, seen_at_work
from graft.registry.promotion.change_champion import Registry
from graft.registry.promotion.gate_rules import Evidence, SeenTestImages, apply_rules
from graft.registry.promotion.gate_verdict import GateVerdict, JudgedOn, publish_verdict, verdict_file
from graft.registry.promotion.judge_challenger import CANDIDATE, judge
from graft.registry.promotion.judged_line import members_of
from graft.registry.promotion.judged_predictions import VersionPredictions
from graft.registry.promotion.later_images import judged_images, later_images, new_to
from graft.registry.promotion.origin import reproducibility, state_of_data
from graft.registry.promotion.promote import find_version
from graft.registry.promotion.standing import stand
from graft.registry.register import DECIDED_TAG
from graft.registry.store.provenance import head_commit
from graft.registry.store.seen_images import read_seen_images

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities.model_registry import ModelVersion


def run_gate(
    project: Project,
    params: Params,
    registry: Registry,
    version: str | None = None,
    commit: str | None = None,
    limit: float | None = None,
    shadow: Callable[[str], Sequence[ShadowAnswer]] = lambda version: (),
) -> GateVerdict:
    """Judge a version, and write the verdict into the project and into the version's run.

    Args:
        project: whose test split the models are judged on, and which has the verdicts on the data.
        params: the limits, and which strategies there are.
        version: the version; by default the challenger.
        commit: that should hold what the candidate was made from; by default the one that is checked out.
        limit: seconds that one model may take; None for any number.
        shadow: returns what a version answered at work in the shadow.

    Raises:
        GraftError: there is no such version, it has no run to put the verdict into, there is no test split, or a
            model cannot be asked.
    """
    import pandas as pd

    client, model = registry.client, registry.model
    line = registry.line()
    candidate = find_version(registry, line, version)
    number = str(candidate.version)
    if not candidate.run_id:
        raise GraftError(
            f"Version {number} of '{model}' was registered without a run, so that nothing tells how it was made",
            "Register a run's model: graft run",
        )
    test = judged_images(project)
    batch = params.evaluate.batch_size

    is_champion = number == line.champion
    aside = read_new_test(project)
    aside = new_to(registry, candidate, aside) if len(aside) else aside
    judged, predictions = judge(project, registry, candidate, test, batch, CANDIDATE, limit, aside)
    asked = {number: predictions}
    seen = [_seen(registry, candidate, test, CANDIDATE)]
    champion = comparison = None
    right, groups = predictions.is_right(test), test["group"].to_numpy(str)
    later, deliveries = test.head(0), None
    if line.champion is not None and not is_champion:
        later = later_images(project)
        other = client.get_model_version(model, line.champion)
        aside = new_to(registry, other, aside) if len(aside) else aside
        new = pd.concat([new_to(registry, other, later), aside], ignore_index=True)
        champion, asked[line.champion] = judge(project, registry, other, test, batch, "champion", limit, new)
        seen.append(_seen(registry, other, test, "champion"))
        comparison = compare(right, asked[line.champion].is_right(test), params.gate.confidence, groups)
        asked, deliveries = ask_first(project, params, registry, other, number, later, test, limit, asked)
    now = datetime.now(UTC)
    since = next((entry.at for entry in reversed(line.entries) if champion and entry.version == champion.version), "")
    members, count = members_of(registry, asked)
    against = champion.version if champion else None
    standing = stand(members, count, test, later, number, against, params.gate, comparison, since, now, deliveries)
    also = asked[champion.version] if champion else None
    standing = standing.model_copy(update=_on_new(aside, predictions, also))
    run = client.get_run(candidate.run_id)
    record = read_seen_images(client, candidate.run_id)
    answers = [] if is_champion else shadow(number)
    learned = set() if record is None else set(record["sha256"])
    if answers and champion and (of_champion := read_seen_images(client, champion.run_id)) is not None:
        learned |= set(of_champion["sha256"])
    evidence = Evidence(
        candidate=judged,
        champion=champion,
        test=JudgedOn(
            images=len(test), groups=number_of_groups(groups), table_sha256=sha256_of(project.split_table("test"))
        ),
        comparison=comparison,
        standing=standing,
        right=right,
        answers=predictions.answered(list(test["sha256"])),
        decided=json.loads(candidate.tags.get(DECIDED_TAG, "{}")),
        labels=test["label"].to_numpy(str),
        groups=groups,
        is_champion=is_champion,
        seen=tuple(seen),
        data=state_of_data(project, record),
        origin=reproducibility(project, run.data.tags, candidate.run_id, model_folders(project, params), commit),
        at_work=seen_at_work(project, answers, learned, params.gate.confidence),
    )
    rules, off = apply_rules(evidence, params.gate)
    verdict = GateVerdict(
        model=model,
        passed=all(rule.passed or rule.severity == "warn" for rule in rules),
        at=now.isoformat(timespec="seconds"),
        commit=commit or head_commit(project) or "",
        made_from=evidence.origin.commit,
        candidate=judged,
        champion=champion,
        is_champion=is_champion,
        test=evidence.test,
        comparison=comparison,
        standing=standing,
        params=params.gate,
        rules=rules,
        off=off,
    )
    write_file(verdict_file(project), verdict.text())
    publish_verdict(client, verdict)
    return verdict


def _on_new(aside: pd.DataFrame, candidate: VersionPredictions, champion: VersionPredictions | None) -> dict[str, Any]:
    """Return the fields of a standing about test images beside an official split's."""
    if not len(aside):
        return {}
    found = {"new": len(aside), "candidate_new": float(candidate.is_right(aside).mean())}
    return found if champion is None else {**found, "champion_new": float(champion.is_right(aside).mean())}


def _seen(registry: Registry, version: ModelVersion, test: pd.DataFrame, role: str) -> SeenTestImages:
    record = read_seen_images(registry.client, version.run_id) if version.run_id else None
    if record is None:
        return SeenTestImages(role, str(version.version), False, 0)
    return SeenTestImages(role, str(version.version), True, int(test["sha256"].isin(record["sha256"]).sum()))
