"""Certificates named in the environment that cannot be read stop what needs them, and nothing else."""

import os
from pathlib import Path

import pytest

from graft.automation.examine import _proxy
from graft.automation.prefect_check import check_named_server
from graft.core.certificates import OF_PREFECT, OF_REQUESTS, UNUSABLE, set_unusable_certificates_aside
from graft.core.download.fetch import download
from graft.core.errors import GraftError
from graft.registry.store.reachable import require_answer

ELSEWHERE = "https://files.example/wheel"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    names = (*OF_REQUESTS, *OF_PREFECT, UNUSABLE)
    monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if k not in names})


@pytest.mark.parametrize("content", [None, "", "no certificate"])
@pytest.mark.parametrize("name", [*OF_REQUESTS, *OF_PREFECT])
def test_case_3_certificates_that_cannot_be_read_stop_https_alone(
    name: str, content: str | None, tmp_path: Path
) -> None:
    import httpx

    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    os.environ[name] = str(path)
    set_unusable_certificates_aside()
    httpx.Client().close()  # as Prefect's client for a server of this machine's does, whatever it is to ask
    asked = (lambda url: download(url, tmp_path), require_answer) if name in OF_REQUESTS else (check_named_server,)
    for ask in asked:
        with pytest.raises(GraftError, match=rf"^{name} is {path}, .*unset that variable"):
            ask(ELSEWHERE)
    with pytest.raises(GraftError, match=f"^{name} is {path}"):
        _proxy()


@pytest.mark.parametrize("name", [*OF_REQUESTS, *OF_PREFECT])
def test_case_3_certificates_that_can_be_read_stay(name: str, tmp_path: Path) -> None:
    import certifi

    for value in (certifi.where(), str(tmp_path)):
        os.environ[name] = value
        set_unusable_certificates_aside()
        assert os.environ[name] == value
    assert UNUSABLE not in os.environ
