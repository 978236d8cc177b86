"""The server's answers, as OpenAPI describes them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from graft.deployment.server.served_model import ServedModel

# Of a version: when `graft promote` made it champion, ISO 8601.
PROMOTED_TAG = "promoted.at"
Kept = Literal["nothing", "figures", "photographs"]


class Prediction(BaseModel):
    """One image's answer."""

    label: str = Field(description="The most probable class.")
    probability: float = Field(description="Of that class, 0 to 1.")
    probabilities: dict[str, float] = Field(description="Of every class, adding up to 1.")


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
    image_sizes: list[int] = Field(description="Sides in pixels that images are resized to.")
    calibrated: bool = Field(description="Whether temperatures fitted on validation images are built in.")
    promoted: datetime | None = Field(description="When the registry's alias came to mean it, where that is noted.")
    tags: dict[str, str] = Field(description="Of the version in the registry: strategy, figures, commit, data.")
    loaded: datetime = Field(description="When this server took it up.")
    kept: Kept = Field(
        description="What stays of a photograph: nothing; its hash, figures such as brightness, and the answer; or the "
        "photograph too."
    )


def predictions(model: ServedModel, rows: list[np.ndarray]) -> dict[str, Any]:
    """Return a :class:`Predictions` as JSON-ready values; ``rows`` are probabilities ``[C]``, one an image."""
    classes = model.classifier.classes
    found = []
    for row in rows:
        best = int(row.argmax())
        found.append(
            {
                "label": classes[best],
                "probability": float(row[best]),
                "probabilities": dict(zip(classes, row.tolist(), strict=True)),
            }
        )
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
        image_sizes=model.classifier.image_sizes,
        # An ensemble's probabilities are those of its members, each with a temperature of its own.
        calibrated="temperature" in model.settings or "members" in model.settings,
        promoted=promoted,
        tags=dict(tags),
        loaded=datetime.fromtimestamp(model.loaded, UTC),
        kept=kept,
    )
