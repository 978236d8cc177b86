"""Have the champion and the latest challengers answer for images before these become training data."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from graft.core.errors import GraftError
from graft.core.params import Params
from graft.core.params.gate_params import GateParams
from graft.core.project import Project
from graft.evaluation.intervals import share_interval
from graft.registry.promotion.delivery_evidence import DeliveryEvidence, add_evidence, read_evidence, rows_of, weigh
from graft.registry.promotion.gate_verdict import fetch_verdict
from graft.registry.promotion.judge_challenger import ask_version
from graft.registry.promotion.judged_line import latest_judged
from graft.registry.promotion.judged_predictions import VersionPredictions
from graft.registry.promotion.later_images import judged_images, later_images, new_to
from graft.registry.promotion.line import SHOWN_TAG

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities.model_registry import ModelVersion

    from graft.registry.promotion.change_champion import Registry


def judge_first(
    project: Project, params: Params, registry: Registry, limit: float | None = None
) -> DeliveryEvidence | None:
    """Have champion and latest challengers answer for images before a model is trained on them; return the evidence.

    Args:
        project: whose images are split; with training still to come.
        limit: seconds that one model may take; None for any number.

    Returns:
        All that is known of the champion from images that came later; None where there is no champion.

    Raises:
        GraftError: the champion cannot be asked.
    """
    line = registry.line()
    if line.champion is None:
        return None
    champion = registry.client.get_model_version(registry.model, line.champion)
    later, test = later_images(project), judged_images(project)
    return ask_first(project, params, registry, champion, None, later, test, limit)[1]


def ask_first(
    project: Project,
    params: Params,
    registry: Registry,
    champion: ModelVersion,
    before: str | None,
    later: pd.DataFrame,
    test: pd.DataFrame,
    limit: float | None,
    asked: dict[str, VersionPredictions] | None = None,
) -> tuple[dict[str, VersionPredictions], DeliveryEvidence]:
    """Ask champion and latest challengers about images that they have seen nothing of, and weigh what is known then.

    What is shown of the champion is written into its tag :data:`SHOWN_TAG`.

    Args:
        before: the version that challengers have to be earlier than; None for any.
        later: see :func:`graft.registry.promotion.later_images.later_images`.
        test: the test split; columns sha256, label and group.
        limit: seconds that one model may take; None for any number.
        asked: by version, predictions that are at hand.

    Returns:
        By version, the predictions of those that were asked, and what is known of the champion.

    Raises:
        GraftError: the champion cannot be asked. A challenger that cannot is passed over, and named.
    """
    predicted, own, batch = dict(asked or {}), str(champion.version), params.evaluate.batch_size
    new = new_to(registry, champion, later)
    if own not in predicted:
        predicted[own] = ask_version(project, registry, champion, new, batch, "champion", limit)[0]
    challengers = []
    for version in latest_judged(registry, before, params.gate.challengers_asked, own):
        number = str(version.version)
        images = new_to(registry, version, later)
        try:
            predicted[number] = ask_version(project, registry, version, images, batch, f"version {number}", limit)[0]
        except GraftError as error:
            print(f"Version {number} was not asked about the images that came after it: {error.what}", file=sys.stderr)
        else:
            challengers.append((number, predicted[number].part(list(images["sha256"]))))
    record = read_evidence(registry.client, champion.run_id)
    rows = rows_of(new[~new["sha256"].isin(record["sha256"])], predicted[own], challengers)
    record = add_evidence(registry.client, champion.run_id, record, rows)
    least = _promised(registry, champion, predicted[own], test, params.gate)
    found = weigh(record, later, least, params.gate)
    if found.shown() != champion.tags.get(SHOWN_TAG, ""):
        registry.client.set_model_version_tag(registry.model, str(champion.version), SHOWN_TAG, found.shown())
    return predicted, found


def _promised(
    registry: Registry, champion: ModelVersion, predictions: VersionPredictions, test: pd.DataFrame, gate: GateParams
) -> float | None:
    """Return the lower end of the champion's accuracy as its own verdict has it; without one, on test as it is now."""
    try:
        verdict = fetch_verdict(registry.client, champion)
    except GraftError:
        verdict = None  # of another version of graft, or not to be had
    if verdict is not None and verdict.standing.promised is not None:
        return verdict.standing.promised
    known = test[test["sha256"].isin(predictions.sha256)]
    if not len(known):
        return None
    return share_interval(predictions.is_right(known), known["group"].to_numpy(str), 2 * gate.confidence - 1).low
