"""The versions of a model that the gate has judged, in the order in which they were made, with their predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graft.registry.promotion.gate_verdict import TIME_TAG
from graft.registry.promotion.judged_predictions import LineMember, VersionPredictions, read_predictions
from graft.registry.store.read_registry import versions_of

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from graft.registry.promotion.change_champion import Registry

# Versions before the candidate whose predictions are read; a trend of half a year of weekly models.
_LATEST = 24


def members_of(registry: Registry, asked: dict[str, VersionPredictions]) -> tuple[list[LineMember], int]:
    """Return the latest judged versions and those in ``asked``, in the order in which they were made, and how many
    versions were judged in all.

    Args:
        asked: by version, predictions that are at hand.
    """
    versions = {str(version.version): version for version in versions_of(registry.client, registry.model, TIME_TAG)}
    for number in asked:
        versions.setdefault(number, registry.client.get_model_version(registry.model, number))
    ordered = sorted(versions, key=int)
    latest = {*ordered[-_LATEST:], *asked}
    members = []
    for place, number in enumerate(ordered):
        version = versions[number]
        if number in latest and (predictions := asked.get(number) or _predictions(registry, version)):
            members.append(LineMember(number, place, version.tags.get("strategy", ""), predictions))
    return members, len(ordered)


def latest_judged(registry: Registry, before: str | None, count: int, besides: str) -> list[ModelVersion]:
    """Return the last versions that were judged, the latest first.

    Args:
        before: only those made before this version; None: all.
        besides: a version that is none of them.
    """
    earlier = [
        version
        for version in versions_of(registry.client, registry.model, TIME_TAG)
        if str(version.version) != besides and (before is None or int(version.version) < int(before))
    ]
    return sorted(earlier, key=lambda version: int(version.version), reverse=True)[:count]


def _predictions(registry: Registry, version: ModelVersion) -> VersionPredictions | None:
    from mlflow.exceptions import MlflowException

    try:
        return read_predictions(registry.client, version.run_id) if version.run_id else None
    except MlflowException:
        return None  # its run was deleted; the line goes on without it
