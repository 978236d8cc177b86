"""What Ray is asked for, and what is said where it cannot be had; tests/pipelines/test_on_ray.py runs it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from graft.core import cluster
from graft.core.cluster import ADDRESS, connected, ray_address, use_compute
from graft.core.errors import GraftError
from graft.core.params.compute_params import ComputeParams
from graft.core.params.load_params import parse_text


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS, "")
    monkeypatch.delenv(ADDRESS)
    cluster._connect.cache_clear()


def test_params_choose_the_engine_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    use_compute(ComputeParams())
    assert not ray_address()
    use_compute(ComputeParams(engine="ray", address="head:6380"))
    assert ray_address() == "head:6380"
    monkeypatch.setenv(ADDRESS, "other:6379")
    use_compute(ComputeParams(engine="ray", address="head:6379"))
    assert ray_address() == "other:6379"


@pytest.mark.parametrize("address", ["auto", "head:6379", "10.0.0.7:6379", "[::1]:6379"])
def test_an_address_is_rays(address: str) -> None:
    assert ComputeParams(address=address).address == address


@pytest.mark.parametrize("address", ["", "head", "http://head:6379", "head:port", "ray://head:10001", "head:6379/x"])
def test_what_is_none_is_refused_with_what_would_be(address: str, repository: Path) -> None:
    text = (repository / "params.yaml").read_text(encoding="utf-8")
    assert parse_text(text).compute == ComputeParams()
    with pytest.raises(GraftError, match=r"params.yaml: .*HOST:PORT"):
        parse_text(re.sub(r"(?m)^  address: auto", f"  address: '{address}'", text))


def test_without_ray_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS, "auto")
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GraftError, match=r"not installed.*graft\[ray\]"):
        connected()


def test_nothing_of_ray_is_imported_where_nobody_asks_for_it() -> None:
    code = "import sys, graft.cli.main, graft.core.cluster, graft.data.scan.scan_images; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"
