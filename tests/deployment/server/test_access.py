"""Who may ask: without a token programs on loopback alone, by loopback's names, and no page of another origin."""

import pytest
from starlette.datastructures import Headers

from graft.core.errors import GraftError
from graft.deployment.server.access import Access, is_loopback

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "LOCALHOST", "localhost."])
def test_loopback_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    access = Access(host, None)
    assert not access.wants_token
    assert access.allows(None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.2", "example.org", "localhost.example.org", ""])
def test_every_other_address_does(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(GraftError, match=r"can be reached from other machines.*--no-token.*127\.0\.0\.1"):
        Access(host, None)
    assert Access(host, TOKEN).wants_token


@pytest.mark.parametrize("token", ["", "short", TOKEN[1:]])
def test_a_short_token_is_refused(token: str) -> None:
    with pytest.raises(GraftError, match=f"has {len(token)} characters, and 16 is the least.*token_urlsafe"):
        Access("127.0.0.1", token)


@pytest.mark.parametrize("token", ["with a space in it", "größer als sechzehn", "line\nbreak-in-a-token"])
def test_a_token_must_fit_into_a_header(token: str) -> None:
    with pytest.raises(GraftError, match="cannot stand in a header"):
        Access("127.0.0.1", token)


def test_only_the_token_opens() -> None:
    access = Access("0.0.0.0", TOKEN)
    for header in (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER  {TOKEN} "):
        assert access.allows(header), header
    for header in (
        None,
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN} {TOKEN}",
        "Bearer größe",
    ):
        assert not access.allows(header), header


def test_without_a_token_other_names_for_this_machine_are_not_known() -> None:
    access = Access("127.0.0.1", None)
    for host in ("localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "[::1]"):
        assert access.knows_host(host), host
    for host in (None, "", ":8000", "example.org", "127.0.0.1.example.org", "localhost.example.org:8000", "[::1", "["):
        assert not access.knows_host(host), host
    assert Access("127.0.0.1", TOKEN).knows_host("example.org")


OWN = "localhost:8000"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], False),
        ([("origin", f"http://{OWN}")], False),
        ([("origin", f"http://{OWN}"), ("sec-fetch-site", "same-origin")], False),
        ([("sec-fetch-site", "none")], False),
        ([("origin", "http://example.org")], True),
        ([("origin", "null")], True),
        ([("origin", "")], True),
        ([("origin", OWN)], True),
        ([("origin", "http://localhost:8001")], True),
        ([("origin", "http://localhost")], True),
        ([("origin", f"http://{OWN}.example.org")], True),
        ([("origin", f"http://{OWN}"), ("origin", "http://example.org")], True),
        ([("sec-fetch-site", "cross-site")], True),
        ([("sec-fetch-site", "same-site")], True),
        ([("origin", f"http://{OWN}"), ("sec-fetch-site", "cross-site")], True),
    ],
)
def test_a4_pages_of_other_origins_are_told_apart(headers: list[tuple[str, str]], expected: bool) -> None:
    found = Headers(raw=[(name.encode(), value.encode()) for name, value in [("host", OWN), *headers]])
    assert Access("127.0.0.1", None).is_from_elsewhere(found) is expected
    # Where there is a token, no other page has it; a proxy may call the server by another name.
    assert not Access("127.0.0.1", TOKEN).is_from_elsewhere(found)
