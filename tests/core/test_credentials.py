"""Passwords and tokens leave no message."""

import pickle

import pytest

from graft.core.credentials import without_credentials
from graft.core.errors import GraftError, first_line

SECRET = "s3cr3t-0f-graft"


@pytest.mark.parametrize(
    "text",
    [
        f"https://user:{SECRET}@tracking.example/api",
        f"postgresql+psycopg2://user:{SECRET}@db.example:5432/mlflow",
        f"https://user:half@{SECRET}@tracking.example",
        f"https://{SECRET}@hooks.example/services",
        f"https://store.example/file?X-Amz-Signature={SECRET}&x=1",
        f"MLFLOW_TRACKING_PASSWORD={SECRET}",
        f"AWS_SECRET_ACCESS_KEY = '{SECRET}'",
        f'{{"user": "me", "password": "{SECRET}"}}',
        f"password: {SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"authorization: basic {SECRET}==",
    ],
)
def test_a5_no_message_shows_a_password(text: str) -> None:
    assert SECRET not in without_credentials(text)
    error = GraftError(f"No answer from {text}", f"Try {text}")
    assert SECRET not in str(error) + error.what + error.fix
    assert SECRET not in str(pickle.loads(pickle.dumps(error)))
    assert SECRET not in first_line(ValueError(text))


@pytest.mark.parametrize(
    "text",
    [
        "See https://scikit-learn.org/stable/@latest and a@b.example",
        "serve.token_file: it is missing",
        "The command needs a token: make one with `graft serve --new-token`",
        "key: image_size, value: 96",
    ],
)
def test_what_is_no_password_stays(text: str) -> None:
    assert without_credentials(text) == text


@pytest.mark.parametrize("text", ["a", "-", "_token", "token", "password: ", "a:", "x://", "='", "bearer "])
def test_a5_a_long_text_takes_no_more_than_its_length(text: str) -> None:
    """Each of these took minutes where a repeat had no bound: a request of a megabyte then never ended."""
    long = text * (50_000 // len(text))
    assert len(without_credentials(long)) > 0
