"""Params of the backbones under test, whose weights are made once."""

from collections.abc import Callable
from pathlib import Path

import keras
import pytest
from backbone_sources import Source, prepare

from graft.core.params.backbone_params import BackboneParams
from graft.networks.backbones import weights


@pytest.fixture(scope="session")
def backbone_params(
    tmp_path_factory: pytest.TempPathFactory, shared: Callable[[str], Path]
) -> Callable[[Source], BackboneParams]:
    folder = tmp_path_factory.mktemp("weights")
    return lambda source: prepare(source, folder, shared)


@pytest.fixture
def no_official(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras' own download does not answer."""

    def refuse(network: keras.Model, name: str, include_top: bool) -> None:
        # As Keras' get_file puts it.
        raise Exception(f"URL fetch failure on https://example.org/{name}: None -- timed out\nand more")

    monkeypatch.setattr(weights, "_official", refuse)
