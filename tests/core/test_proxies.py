"""What goes through a proxy, and what a proxy that cannot be used stops."""

import os
from urllib.request import getproxies

import pytest

from graft.automation.examine import _proxy
from graft.automation.prefect_check import check_named_server
from graft.core import proxies
from graft.core.download.fetch import download
from graft.core.errors import GraftError
from graft.core.proxies import UNUSABLE, normalise_proxies, require_proxy
from graft.registry.store.reachable import require_answer

LOOPBACK = ("http://127.0.0.1:4200/api", "http://localhost:4200", "http://[::1]:4200")
ELSEWHERE = "https://files.example/wheel"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    others = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    monkeypatch.setattr(os, "environ", others)


def require_direct_loopback() -> None:
    """Pass where both clients that graft's parts speak through ask this machine itself."""
    import httpx
    from requests.utils import get_environ_proxies

    client = httpx.Client()
    for url in LOOPBACK:
        assert client._transport_for_url(httpx.URL(url)) is client._transport
    for url in LOOPBACK[:2]:
        assert get_environ_proxies(url, None) == {}


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("value", ["http://proxy.example:3128", "proxy.example:3128", "http://me:p%40ss@proxy.example"])
def test_case_2_loopback_never_goes_through_a_proxy_and_downloads_do(name: str, value: str) -> None:
    os.environ[name] = value
    normalise_proxies()
    require_direct_loopback()
    assert getproxies()[name.lower().removesuffix("_proxy")] == value
    require_proxy(ELSEWHERE)
    found = _proxy()
    assert found.state == "ok"
    assert name in found.found
    assert "p%40ss" not in found.found


NO_PROXY = {
    "[::1]": "",
    "[::1]:4200": "",
    "fe80::/10": "",
    "[fd00::]/8, intranet": "intranet,",
    "::1/128": "",
    "fd00::17": "fd00::17,",
    "10.0.0.0/8 , .example.org  *.example.net": "10.0.0.0/8,.example.org,*.example.net,",
    "localhost:*": "",
    "example.org., .example.net.": "example.org,.example.net,",
    "intranet:8080": "intranet:8080,",
    "127.0.0.1;localhost": "127.0.0.1;localhost,",
    ",,": "",
}


@pytest.mark.parametrize("stated", NO_PROXY)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_case_3_entries_of_no_proxy_in_any_form_stop_nothing(name: str, stated: str) -> None:
    os.environ |= {name: stated, "http_proxy": "http://proxy.example:3128"}
    normalise_proxies()
    require_direct_loopback()
    kept = os.environ["NO_PROXY"]
    assert kept == os.environ["no_proxy"]
    assert set(kept.split(",")) == {*filter(None, NO_PROXY[stated].split(",")), *proxies.LOOPBACK}


BAD = {
    "socks5://proxy.example:1080": "Install what reads it",
    "socks5h://proxy.example": "Install what reads it",
    "socks://proxy.example:1080/": "Install what reads it",
    "socks4://proxy.example:1080": "Have it be an address",
    "htp://proxy.example": "Have it be an address",
    "http://[proxy": "Have it be an address",
    "http://proxy.example:http": "Have it be an address",
}


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("name", ["ALL_PROXY", "https_proxy"])
def test_case_3_a_proxy_that_cannot_be_used_stops_what_needs_it_and_nothing_else(
    name: str, value: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxies.importlib.util, "find_spec", lambda name: None)
    os.environ[name] = value
    normalise_proxies()
    require_direct_loopback()
    for url in LOOPBACK:
        require_proxy(url)
    shown = f"{name} is socks" if value.startswith("socks") else f"{name} is "
    for ask in (require_proxy, require_answer, check_named_server, lambda url: download(url, tmp_path)):  # type: ignore[arg-type]
        with pytest.raises(GraftError, match=f"{shown}.*files.example.*{BAD[value]}"):
            ask(ELSEWHERE)
    with pytest.raises(GraftError, match=shown):
        _proxy()


@pytest.mark.parametrize("last", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
def test_case_3_nothing_goes_past_one_of_several_proxies_that_cannot_be_used(last: str) -> None:
    os.environ |= {"HTTPS_PROXY": "socks4://me:p%40ss@proxy.example:1080", last: "socks4://another.example:1080"}
    normalise_proxies()
    normalise_proxies()  # a process that was started with what the first has left
    with pytest.raises(GraftError, match=r"HTTPS_PROXY is socks4://\*\*\*@proxy.example:1080, a proxy that cannot be"):
        require_proxy("https://files.example/wheel")
    with pytest.raises(GraftError, match=f"{last} is socks4://another.example:1080"):
        require_proxy("http://files.example/wheel")


@pytest.mark.parametrize("stated", ["*", " * ", "*,intranet", "intranet *"])
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_case_3_a_star_among_others_is_none_for_anything(name: str, stated: str) -> None:
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    os.environ |= {"no_proxy": "", name: stated, "http_proxy": "http://proxy.example:3128"}
    normalise_proxies()
    require_direct_loopback()
    assert proxy_bypass_environment("files.example")


def test_case_3_a_server_in_a_range_of_addresses_is_asked_without_a_proxy() -> None:
    import httpx

    os.environ |= {"NO_PROXY": "fd00::/8,10.1.2.3/8,intranet/x", "http_proxy": "http://proxy.example:3128"}
    os.environ |= {"PREFECT_API_URL": "http://10.9.9.9:4200/api", "MLFLOW_TRACKING_URI": "http://11.1.1.1"}
    os.environ |= {"AWS_ENDPOINT_URL": "http://store.example", "MLFLOW_S3_ENDPOINT_URL": "http://[::bad"}
    normalise_proxies()
    client = httpx.Client()
    assert client._transport_for_url(httpx.URL("http://10.9.9.9:4200/api")) is client._transport
    assert client._transport_for_url(httpx.URL("http://11.1.1.1")) is not client._transport


def test_case_3_a_proxy_for_everything_matters_only_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxies.importlib.util, "find_spec", lambda name: None)
    os.environ |= {"all_proxy": "socks://proxy.example:1080/", "https_proxy": "http://proxy.example:3128"}
    normalise_proxies()
    require_proxy(ELSEWHERE)
    os.environ |= {"NO_PROXY": "plain.example", "no_proxy": "plain.example"}
    require_proxy("http://plain.example/")
    with pytest.raises(GraftError, match="all_proxy is socks5://proxy.example:1080/"):
        require_proxy("http://files.example/")


def test_case_3_socks_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxies.importlib.util, "find_spec", lambda name: object())
    os.environ["ALL_PROXY"] = "socks://proxy.example:1080"
    normalise_proxies()
    assert os.environ["ALL_PROXY"] == "socks5://proxy.example:1080"
    assert UNUSABLE not in os.environ
