"""What all sections of params.yaml are made of: the base class, and the kinds of numbers and names in them."""

import os
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationInfo

from graft.core.outside import own_path

# Names become folder names, DVC stage names and MLflow tags.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]  # of something that may not vanish whole
Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]
LearningRate = Annotated[float, Field(gt=0, le=10)]
RunSeverity = Literal["error", "leave_out", "warn"]
# YAML 1.1 reads off as false; whoever writes params.yaml with such a tool means the same.
Severity = Annotated[Literal["error", "warn", "off"], BeforeValidator(lambda value: "off" if value is False else value)]
# Of rules about single images, which stop nothing. Projects made before say error, and mean that such images stay out.
ImageSeverity = Annotated[
    Literal["leave_out", "warn", "off"],
    BeforeValidator(lambda value: "off" if value is False else "leave_out" if value == "error" else value),
]


def _where_it_is(value: str, info: ValidationInfo) -> str:
    """Return the path of a file or folder that is not below the working directory as one that begins at the project.

    The worktree of a retraining has no file that git ignores, such as weights, and none beside the project.
    """
    if info.context is None or value in _NO_FILES or "://" in value:
        return value
    here = own_path(value)
    places = [here, *(folder / here for folder in info.context)]
    # Path.exists raises where text is too long to be a name.
    found = next((place for place in places if os.path.exists(place)), here)  # noqa: PTH110
    return value if found == here else str(found)


# Text that may name a file or a folder of the user's own.
OwnFile = Annotated[str, AfterValidator(_where_it_is)]


_NO_FILES = ("imagenet", "none")  # words that weights may be


class Section(BaseModel):
    """Base of every section: strict types, no unknown keys, immutable."""

    # A number that is none compares as neither too small nor too large.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
