"""The section serve: what is shipped is the default, and limits that contradict each other are refused."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from graft.core.errors import GraftError
from graft.core.params import load_params, parse_params
from graft.core.params.serve_params import ServeParams

SHIPPED = Path(__file__).resolve().parents[3] / "params.yaml"


def test_the_shipped_section_is_the_default_one() -> None:
    assert load_params(SHIPPED).serve == ServeParams()
    raw = YAML(typ="safe").load(SHIPPED.read_text(encoding="utf-8"))
    assert set(raw["serve"]) == set(ServeParams.model_fields)
    del raw["serve"]
    assert parse_params(raw).serve == ServeParams()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_image_mb": 65}, "max_image_mb is 65, but max_request_mb is 64.*Set max_request_mb to 65 or more"),
        ({"max_request_mb": 600}, "max_request_mb is 600, but max_buffer_mb is 512"),
        ({"max_images": 129}, "max_images is 129, but queue is 128"),
        ({"log_buffer_mb": 19}, "log_buffer_mb is 19, but max_image_mb is 20.*Set log_buffer_mb to 20 or more"),
        ({"max_batch": 0}, "'serve.max_batch' is 0"),
        ({"poll_seconds": 0}, "'serve.poll_seconds' is 0"),
        ({"max_image_mB": 3}, "unknown key 'serve.max_image_mB'.*max_image_mb"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, float], message: str) -> None:
    raw = YAML(typ="safe").load(SHIPPED.read_text(encoding="utf-8"))
    raw["serve"].update(changes)
    with pytest.raises(GraftError, match=message):
        parse_params(raw)
