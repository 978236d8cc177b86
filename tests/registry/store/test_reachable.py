"""An address that MLflow cannot use is named before anything is asked."""

import pytest

from graft.core.errors import GraftError
from graft.registry.store.reachable import require_answer


@pytest.mark.parametrize(
    ("uri", "fix"),
    [
        ("localhost:5000", r"Write http://localhost:5000\."),
        ("mlflow.example:5000/team", r"Write http://mlflow.example:5000/team\."),
        ("htp://mlflow:5000", "An address starts with http://"),
        ("postgres://me@db/mlflow", "An address starts with http://"),
    ],
)
def test_case_14_what_is_no_address_is_said_to_be_none(uri: str, fix: str) -> None:
    with pytest.raises(GraftError, match=f"MLFLOW_TRACKING_URI is .*no address of MLflow's.*{fix}"):
        require_answer(uri)


@pytest.mark.parametrize("uri", ["sqlite:///a.db", "sqlite+pysqlite:////a.db", "/srv/a", "file:///srv/a", "databricks"])
def test_case_14_what_mlflow_reads_by_itself_is_left_to_it(uri: str) -> None:
    require_answer(uri)


def test_case_14_a_limit_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "long")
    with pytest.raises(GraftError, match="^MLFLOW_HTTP_REQUEST_TIMEOUT is 'long'"):
        require_answer("http://127.0.0.1:9")
