"""The server's answers, as OpenAPI describes them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from graft.bundle.decisions import label_sets
from graft.deployment.server.bodies import RefusedError
from graft.deployment.server.served_model import Answer, ServedModel

# Of a version: when `graft promote` made it champion, ISO 8601.
PROMOTED_TAG = "promoted.at"
Kept = Literal["nothing", "figures", "photographs"]


class Prediction(BaseModel):
    """One image's answer."""

    label: str = Field(description="The class that is answered; or 'unknown', for none of the classes.")
    probability: float = Field(description="Of that class, 0 to 1; of 'unknown', that of the most probable class.")
    probabilities: dict[str, float] = Field(description="Of every class, adding up to 1.")
    set: list[str] | None = Field(
        default=None, description="Classes of which one is right in the share of known images asked for: ?sets=0.9."
    )


class Predictions(BaseModel):
    """The answers to one request, in the order of its images."""

    model: str = Field(description="Name in the registry.")
    version: str = Field(description="Version in the registry; empty for a model that is not from there.")
    predictions: list[Prediction]


class Refusal(BaseModel):
    """Why a request was not answered."""

    detail: str = Field(description="What was found, and what would be right.")


class Readiness(BaseModel):
    """Whether photographs are answered."""

    ready: bool
    model: str | None = Field(default=None, description="With the token alone, as all that follows.")
    version: str | None = None
    problem: str | None = Field(default=None, description="Why the registry's champion is not the one that answers.")


class Description(BaseModel):
    """The model that answers."""

    model: str
    version: str
    alias: str = Field(description="Watched in the registry; empty where one model is served for good.")
    digest: str = Field(description="SHA-256 of the model's model.json.")
    classes: list[str]
    unknown: float = Field(description="Share of known images that may be answered 'unknown'; 0: all get a class.")
    image_sizes: list[int] = Field(description="Sides in pixels that images are resized to.")
    calibrated: bool = Field(description="Whether temperatures fitted on validation images are built in.")
    promoted: datetime | None = Field(description="When the registry's alias came to mean it, where that is noted.")
    tags: dict[str, str] = Field(description="Of the version in the registry: strategy, figures, commit, data.")
    loaded: datetime = Field(description="When this server took it up.")
    kept: Kept = Field(
        description="What stays of a photograph: nothing; its hash, figures such as brightness, and the answer; or the "
        "photograph too."
    )


def predictions(model: ServedModel, answers: list[Answer], coverage: float | None = None) -> dict[str, Any]:
    """Return a :class:`Predictions` as JSON-ready values; with ``coverage``, sets of labels too.

    Raises:
        RefusedError: the model lacks what sets follow from.
    """
    classes = model.classifier.classes
    found = [
        {
            "label": one.label,
            "probability": one.probability,
            "probabilities": dict(zip(classes, one.probabilities.tolist(), strict=True)),
        }
        for one in answers
    ]
    if coverage is not None:
        if model.classifier.known is None:
            raise RefusedError(400, "This model lacks what sets follow from: train it again.")
        sets = label_sets(model.classifier.known, np.stack([one.probabilities for one in answers]), coverage)
        for one, members in zip(found, sets, strict=True):
            one["set"] = [classes[index] for index in np.flatnonzero(members)]
    return {"model": model.source.name, "version": model.source.version, "predictions": found}


def description(model: ServedModel, tags: Mapping[str, str], kept: Kept) -> Description:
    """Describe the model that answers; ``tags`` are its version's, ``kept`` is what is logged of a photograph."""
    try:
        promoted = datetime.fromisoformat(tags[PROMOTED_TAG])
    except (KeyError, ValueError):  # anybody may write tags
        promoted = None
    return Description(
        model=model.source.name,
        version=model.source.version,
        alias=model.source.alias,
        digest=model.source.digest,
        classes=model.classifier.classes,
        unknown=model.classifier.decided.get("unknown", 0),
        image_sizes=model.classifier.image_sizes,
        # An ensemble's probabilities are those of its members, each with a temperature of its own.
        calibrated="temperature" in model.settings or "members" in model.settings,
        promoted=promoted,
        tags=dict(tags),
        loaded=datetime.fromtimestamp(model.loaded, UTC),
        kept=kept,
    )
