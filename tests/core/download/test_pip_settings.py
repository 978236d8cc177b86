"""pip's settings, handed on to what does not read them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from graft.core.download import package_index, pip_settings
from graft.core.download.package_index import index_address, index_session
from graft.core.download.pip_settings import read_settings, uv_environment

MIRROR, CERTIFICATE = "https://mirror.example/simple", "/etc/ssl/mirror.pem"


@pytest.fixture(params=["file", "variables"])
def told(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip is told of a mirror, by a file or by variables."""
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "PIP_CONFIG_FILE", "PIP_INDEX_URL", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    package_index._pip_settings.cache_clear()
    request.addfinalizer(package_index._pip_settings.cache_clear)
    if request.param == "file":
        file = tmp_path / "pip.conf"
        file.write_text(f"[global]\nindex-url = {MIRROR}\n[install]\ncert = {CERTIFICATE}\n")
        monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    else:
        monkeypatch.setenv("PIP_INDEX_URL", MIRROR)
        monkeypatch.setenv("PIP_CERT", CERTIFICATE)


def test_case_4_the_installer_is_told_what_pip_is_told(told: None) -> None:
    shown = "import os; print(os.environ['UV_DEFAULT_INDEX'], os.environ['SSL_CERT_FILE'])"
    command = [sys.executable, pip_settings.__file__, sys.executable, "-c", shown]
    environment = {name: value for name, value in os.environ.items() if name != "SSL_CERT_FILE"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == [MIRROR, CERTIFICATE]


def test_case_4_grafts_own_downloads_ask_the_same_index(told: None) -> None:
    assert index_address() == MIRROR
    assert index_session().verify == CERTIFICATE


def test_case_4_every_installation_of_the_makefile_hands_them_on() -> None:
    text = (Path(__file__).parents[3] / "Makefile").read_text(encoding="utf-8")
    runs = [line for line in text.splitlines() if "uv pip" in line or "$(UV) pip" in line]
    assert len(runs) == 3
    assert all("$(UV) pip" in line for line in runs)
    assert "UV := $(BIN)/python src/graft/core/download/pip_settings.py $(BIN)/uv" in text


LISTED = """\
:env:.default-timeout='180'
:env:.index-url='https://me:a=b@one.example/simple'
global.extra-index-url='https://two.example/simple\\nhttps://three.example/simple'
global.index-url='https://four.example/simple'
global.no-index='false'
install.trusted-host='one.example two.example'
"""


def test_case_4_all_that_bears_on_an_index_is_handed_on_and_uvs_own_variables_win() -> None:
    settings = read_settings(LISTED)
    assert uv_environment(settings, {}) == {
        "UV_DEFAULT_INDEX": "https://me:a=b@one.example/simple",
        "UV_INDEX": "https://two.example/simple https://three.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_HTTP_TIMEOUT": "180",
        "UV_INSECURE_HOST": "one.example two.example",
    }
    own = {"UV_DEFAULT_INDEX": "https://own.example/simple"}
    assert uv_environment(settings, own)["UV_DEFAULT_INDEX"] == own["UV_DEFAULT_INDEX"]
    assert "UV_DEFAULT_INDEX" not in uv_environment(settings, {"UV_INDEX_URL": "https://own.example/simple"})
    assert read_settings("") == {}
