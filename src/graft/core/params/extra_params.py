"""Expectations of the user's own, under ``validate.extra`` in params.yaml."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from graft.core.params.sections import Section

# Great Expectations' words beside graft's own, as they stand in its suites.
_SEVERITIES = {False: "off", "critical": "error", "warning": "warn", "info": "warn"}


class ExtraExpectation(Section):
    """One expectation, as it stands in the JSON of a suite of Great Expectations.

    Attributes:
        type: such as ``expect_column_values_to_be_between``.
        kwargs: such as ``{column: brightness, min_value: 0.1}``.
        name: that a violation is reported by; ``""`` for the type, with the column where there is one.
        severity: ``error`` stops the pipeline, ``warn`` is shown, ``off`` is not checked.
        meta, id, notes, description: of the suite; not used.
    """

    type: Annotated[str, Field(pattern=r"^expect_[a-z0-9_]+$")]
    kwargs: dict[str, Any] = Field(default={})
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_ .-]{0,80}$")] = ""
    severity: Annotated[
        Literal["error", "warn", "off"], BeforeValidator(lambda value: _SEVERITIES.get(value, value))
    ] = "error"
    meta: dict[str, Any] | None = None
    id: str | None = None
    notes: str | list[str] | None = None
    description: str | None = None

    @property
    def rule(self) -> str:
        """The name that a violation is reported by."""
        columns = [str(value) for key, value in self.kwargs.items() if key.startswith("column") and value]
        return self.name or " ".join([self.type.removeprefix("expect_"), *columns])
