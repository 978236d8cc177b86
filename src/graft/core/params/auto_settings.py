"""Settings of a strategy that say ``auto``: stage choose fills them in from what it measured."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from graft.core.errors import GraftError
from graft.core.params.sections import Section

AUTO = "auto"


class WithAuto(Section):
    """A section in which some settings may say ``auto``.

    Attributes:
        auto: names of those that do, sorted. Until they are filled in, they hold the value of :attr:`PLACEHOLDERS`.
    """

    PLACEHOLDERS: ClassVar[Mapping[str, Any]] = {}

    auto: list[str] = Field(default=[])

    @model_validator(mode="before")
    @classmethod
    def _take_auto(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        found = sorted(key for key, value in raw.items() if key in cls.PLACEHOLDERS and value == AUTO)
        if not found:
            return raw
        return {**raw, **{key: cls.PLACEHOLDERS[key] for key in found}, "auto": found}

    @property
    def to_choose(self) -> list[str]:
        """Names of the settings that are to be filled in."""
        size = getattr(self, "image_size", None) == AUTO
        return sorted({*self.auto, *(["image_size"] if size else [])})

    def filled_in(self, chosen: Mapping[str, Any], name: str) -> Self:
        """Return the section with what was chosen in the place of each ``auto``.

        Args:
            chosen: values by name, as params.yaml would have them.
            name: of the strategy, for the error.

        Raises:
            GraftError: something that says auto was not chosen.
        """
        missing = [key for key in self.to_choose if key not in chosen]
        if missing:
            raise GraftError(
                f"Strategy '{name}' has {missing[0]}: auto, which stage choose has not filled in",
                "Run `dvc repro choose` (or `graft run`), or name a value in params.yaml",
            )
        values = self.model_dump(by_alias=True, exclude={"auto"})
        return type(self).model_validate({**values, **{key: chosen[key] for key in self.to_choose}})
