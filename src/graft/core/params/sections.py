"""What all sections of params.yaml are made of: the base class, and the kinds of numbers and names in them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

# Names become folder names, DVC stage names and MLflow tags.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]  # of something that may not vanish whole
Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]
LearningRate = Annotated[float, Field(gt=0, le=10)]
RunSeverity = Literal["error", "warn"]
# YAML 1.1 reads off as false; whoever writes params.yaml with such a tool means the same.
Severity = Annotated[
    Literal["error", "warn", "off"], BeforeValidator(lambda value: "off" if value is False else value)
]


class Section(BaseModel):
    """Base of every section: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
