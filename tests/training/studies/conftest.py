"""The project's own params.yaml, as it is shipped."""

from pathlib import Path

import pytest

from graft.core.params import Params, load_params


@pytest.fixture(scope="session")
def full_params() -> Params:
    return load_params(Path(__file__).parents[3] / "params.yaml")
