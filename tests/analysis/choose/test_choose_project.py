"""What a project's params ask stage choose to measure."""

from pathlib import Path

import pytest

from graft.analysis.choose.choose_project import what_is_asked
from graft.core.params.load_params import parse_text

SHIPPED = (Path(__file__).resolve().parents[3] / "params.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("size", "own", "measured"),
    [("auto", "[]", []), ("128", "[]", [128]), ("128", "[96, 224]", [96, 224]), ("auto", "[96]", [96])],
)
def test_a_size_for_all_strategies_is_the_one_that_is_measured(size: str, own: str, measured: list[int]) -> None:
    """It was measured at other sizes, and the frozen strategy took those."""
    text = SHIPPED.replace("  image_size: auto ", f"  image_size: {size} ", 1).replace(
        "sizes: [] ", f"sizes: {own} ", 1
    )
    assert what_is_asked(parse_text(text)).sizes == measured
