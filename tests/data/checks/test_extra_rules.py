"""Expectations of the user's own: they stop with their names, and Great Expectations opens the suites."""

import json
from typing import Any

import pytest
from test_expectations import Checked, ClassFolder, again, checked

from graft.core.errors import GraftError
from graft.core.params.extra_params import ExtraExpectation
from graft.core.params.models import ValidateParams
from graft.data.scan.manifest import read_manifest


def between(column: str, least: float, **more: Any) -> dict[str, Any]:
    kwargs = {"column": column, "min_value": least}
    return {"type": "expect_column_values_to_be_between", "kwargs": kwargs, **more}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, class_folder: ClassFolder) -> Checked:
    root = tmp_path_factory.mktemp("extra") / "data"
    class_folder(root / "cat", 12, 0)
    class_folder(root / "dog", 12, 100)
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    rows = [f"{path},{['north', 'south'][number % 2]},{number}" for number, path in enumerate(paths)]
    (root / "columns.csv").write_text("\n".join(["path,camera,shutter", *rows]))
    return checked(root)


def judged(plain: Checked, *extra: dict[str, Any]) -> Checked:
    params = ValidateParams(extra=[ExtraExpectation(**one) for one in extra])
    return again(plain.folder, plain.folder.parent / "data", params)


def test_a_violated_expectation_stops_with_its_own_name(plain: Checked) -> None:
    found = judged(
        plain,
        between("shutter", 3, name="exposed_long_enough"),
        between("brightness", 2, severity="warning"),  # as Great Expectations says it
        between("shutter", 100, name="never_asked", severity="off"),
        {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "camera", "value_set": ["north", "south"]}},
        {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 10}},
        {
            "type": "expect_column_pair_values_a_to_be_greater_than_b",
            "kwargs": {"column_A": "bytes", "column_B": "width"},
        },
    )
    rules = {rule.name: rule for rule in found.verdict.rules}
    assert [rule.name for rule in found.verdict.errors] == ["exposed_long_enough"]
    assert rules["column_values_to_be_in_set camera"].passed
    assert rules["table_row_count_to_be_between"].observed.startswith("24")
    assert rules["column_pair_values_a_to_be_greater_than_b bytes width"].passed
    assert "never_asked" in found.verdict.off
    assert "exposed_long_enough: 3 of 24 are not as expected" in found.message()
    assert [one.found for one in rules["exposed_long_enough"].offenders] == ["0", "1", "2"]
    assert found.verdict.warnings[-1].startswith("column_values_to_be_between brightness: 24 of 24")
    assert len([line for line in (found.docs / "offenders.csv").read_text().splitlines() if "exposed" in line]) == 3


def test_great_expectations_opens_the_suites(plain: Checked) -> None:
    import great_expectations as gx

    found = judged(plain, between("brightness", 2, name="bright"))
    suites = sorted((found.docs / "suites").glob("*.json"))
    assert [file.stem for file in suites] == [
        "classes",
        "images",
        "images_and_their_table",
        "images_that_take_part",
        "readable_images",
    ]
    loaded = {file.stem: gx.ExpectationSuite(**json.loads(file.read_text())) for file in suites}
    expected = [rule.name for rule in found.verdict.rules]
    assert sorted(one.meta["rule"] for suite in loaded.values() for one in suite.expectations) == sorted(expected)
    context = gx.get_context(mode="ephemeral")
    batch = context.data_sources.add_pandas("again").add_dataframe_asset("images")
    images = read_manifest(found.folder / "manifest.parquet")
    result = batch.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": images})
    assert not result.validate(context.suites.add(loaded["images_and_their_table"])).success


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"type": "expect_columns_to_be_nice"}, r"validate.extra\[0\]: Great Expectations has no 'expect_columns"),
        (between("shuter", 1), r"about the column 'shuter'.*data/columns.csv.*[Dd]id you mean 'shutter'"),
        (
            {"type": "expect_column_values_to_be_between", "kwargs": {"column": "width", "least": 3}},
            "does not take these kwargs",
        ),
    ],
)
def test_what_cannot_be_checked_is_an_error_that_names_it(plain: Checked, extra: dict[str, Any], said: str) -> None:
    with pytest.raises(GraftError, match=said):
        judged(plain, extra)


def test_names_are_unique() -> None:
    with pytest.raises(ValueError, match="which is a rule of graft's"):
        ValidateParams(extra=[ExtraExpectation(**between("width", 1, name="readable"))])
