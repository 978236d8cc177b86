"""The section `monitor`: settings of which no alarm could ever come are refused."""

import pytest
from pydantic import ValidationError

from graft.core.params.monitor_params import MonitorParams


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"permutations": 500}, "it takes 800"),
        ({"min_images": 50, "max_images": 40}, "min_images is 50, more than max_images, 40"),
        ({"alpha": 0.0}, "greater than 0"),
    ],
)
def test_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MonitorParams.model_validate(settings)
