"""Expectations of the user's own over the manifest, and over columns of a table that lies in data/."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.core.errors import GraftError, did_you_mean, first_line
from graft.core.params.extra_params import ExtraExpectation
from graft.data.checks.check_rules import Check
from graft.data.folder.layout import COLUMNS_FILE

if TYPE_CHECKING:
    import pandas as pd

EXTRA = "images and their table"


def extra_table(taken: pd.DataFrame, readable: pd.DataFrame, data: Path) -> pd.DataFrame:
    """Return the images that take part, with the manifest's columns, shape, and those of columns.csv.

    Raises:
        GraftError: the table cannot be read, or has neither a column path nor sha256.
    """
    shapes = readable.drop_duplicates("path").set_index("path")[["shorter_side", "aspect"]]
    images = taken.join(shapes, on="path")
    file = data / COLUMNS_FILE
    if not file.is_file():
        return images
    found, key = read_columns(file)
    new = [name for name in found if name == key or name not in images]
    return images.merge(found[new], on=key, how="left")


def read_columns(path: Path) -> tuple[pd.DataFrame, str]:
    """Return a table of what is known of images, a row each, and the column that names them: sha256 or path.

    Other columns are of numbers where all that is not empty is one; what is empty is missing.

    Raises:
        GraftError: the table cannot be read, or has neither a column path nor sha256.
    """
    import pandas as pd

    try:
        found = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise GraftError(f"{path} cannot be read as CSV: {first_line(error)}", "Save it as CSV in UTF-8") from None
    key = next((name for name in ("sha256", "path") if name in found), None)
    if key is None:
        raise GraftError(f"{path} has neither a column path nor sha256", "Add one: the place of each image below data/")
    for name in set(found) - {"sha256", "path"}:
        found[name] = _numbers_or_text(found[name])
    return found.drop_duplicates(key), key


def _numbers_or_text(column: pd.Series) -> pd.Series:
    """Return a column of text as numbers where all that is not empty is one; what is empty is missing."""
    import pandas as pd

    text = column.where(column != "")
    numbers = pd.to_numeric(text, errors="coerce")
    return numbers if numbers.notna().equals(text.notna()) else text


def extra_checks(extra: Sequence[ExtraExpectation], columns: Sequence[str]) -> list[Check]:
    """Return the user's expectations as rules.

    Args:
        columns: of the table that they are about.

    Raises:
        GraftError: Great Expectations has no such expectation, or it does not take these arguments, or two have one
            name, or it is about a column that is not there.
    """
    checks: dict[str, Check] = {}
    for number, one in enumerate(extra):
        where = f"validate.extra[{number}]"
        for key, column in one.kwargs.items():
            named = [column] if key.startswith("column") and isinstance(column, str) else []
            for missing in [name for name in named if name not in columns]:
                raise GraftError(
                    f"{where} ({one.rule}) is about the column '{missing}', which neither the manifest nor "
                    f"data/{COLUMNS_FILE} has",
                    did_you_mean(missing, columns, f"The columns are {', '.join(columns)}"),
                )
        if one.rule in checks:
            raise GraftError(f"{where} and another one are called '{one.rule}'", "Give one of them another name")
        arguments = ", ".join(f"{key} {json.dumps(value)}" for key, value in one.kwargs.items())
        checks[one.rule] = Check(
            one.rule,
            EXTRA,
            one.description or f"{one.type}: {arguments}",
            _expectation(one, where),
            "are not as expected",
            arguments,
            "It stands under validate.extra in params.yaml: mend the images or their table, or change it there",
        )
    return list(checks.values())


def _expectation(one: ExtraExpectation, where: str) -> Any:
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )
    from pydantic.v1 import ValidationError

    try:
        kind = get_expectation_impl(one.type)
    except GreatExpectationsError:
        known = list_registered_expectation_implementations()
        raise GraftError(
            f"{where}: Great Expectations has no '{one.type}'", did_you_mean(one.type, known, "See its gallery")
        ) from None
    try:
        return kind(**one.kwargs)
    except (ValidationError, TypeError, ValueError) as error:
        raise GraftError(
            f"{where}: {one.type} does not take these kwargs: {' '.join(str(error).split())[:300]}",
            "Write them as they stand in a suite of Great Expectations",
        ) from None
