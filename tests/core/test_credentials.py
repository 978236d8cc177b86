"""Passwords and tokens leave no message."""

import logging
import pickle
from typing import Any

import pytest

from graft.core.credentials import guard_output, without_credentials
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


def test_a5_a_library_s_own_factory_of_log_records_is_guarded_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("sys.excepthook", "threading.excepthook"):
        monkeypatch.setattr(name, None)
    before = logging.getLogRecordFactory()
    try:
        logging.setLogRecordFactory(logging.LogRecord)
        guard_output()
        inner = logging.getLogRecordFactory()

        def of_a_library(*arguments: Any, **settings: Any) -> logging.LogRecord:
            record = inner(*arguments, **settings)
            record.node = 1
            return record

        logging.setLogRecordFactory(of_a_library)  # as Ray does
        for _ in range(2):
            guard_output()
            logging.getLogger("graft.test").warning("password: %s", SECRET)
    finally:
        logging.setLogRecordFactory(before)
    assert SECRET not in caplog.text
    assert [record.__dict__["node"] for record in caplog.records] == [1, 1]
