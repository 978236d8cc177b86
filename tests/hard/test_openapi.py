"""The server answers as its own description says, in a short form."""

import pytest
from openapi import TOKEN, ask, running


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("token", [None, TOKEN], ids=["without a token", "with a token"])
def test_answers_are_as_openapi_describes_them(token: str | None) -> None:
    with running(token) as address:
        answers = ask(address, token, examples=8, derandomize=True)
    statuses = {status for label, status in answers if label == "POST /predict"}
    assert {200, 422} <= statuses
    assert all(status < 500 for _, status in answers)
    assert token is None or ("GET /metrics", 401) in answers  # asked for without it, which its description has to say
    assert len({label for label, _ in answers}) == 6
