"""Params of the backbones under test, whose weights are made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from backbone_sources import Source, prepare

from graft.params.strategies import HubBackboneParams, KerasBackboneParams


@pytest.fixture(scope="session")
def backbone_params(
    tmp_path_factory: pytest.TempPathFactory, shared: Callable[[str], Path]
) -> Callable[[Source], KerasBackboneParams | HubBackboneParams]:
    folder = tmp_path_factory.mktemp("weights")
    return lambda source: prepare(source, folder, shared)
