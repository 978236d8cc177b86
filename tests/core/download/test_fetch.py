"""Fetching: from an index and from a web server on loopback, whole, cut off, changed and silent."""

import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from graft.core.download import fetch
from graft.core.download.fetch import download, fetched_file, index_has, is_reachable, registry_archive
from graft.core.download.redirects import new_session
from graft.core.errors import GraftError

BODY = bytes(range(256)) * 2000
DIGEST = hashlib.sha256(BODY).hexdigest()


class Site:
    """A web server whose one file can be changed, cut off, and counted."""

    file_address = "../../file.zip"

    def __init__(self):
        self.body = BODY
        self.cut_after = None  # bytes sent before the connection breaks
        self.takes_ranges = True
        self.requests = []
        self.redirects = {}
        self.index_digest = DIGEST
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                site.requests.append((self.path, self.headers.get("Range")))
                if self.path in site.redirects:
                    self.send_response(302)
                    self.send_header("Location", site.redirects[self.path])
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                elif self.path == "/simple/some-package/":
                    self.reply(200, site.index(), "application/vnd.pypi.simple.v1+json")
                elif self.path == "/file.zip":
                    self.send_file()
                else:
                    self.reply(404, b"nothing here", "text/plain")

            def reply(self, status, body, kind):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def send_file(self):
                tag = f'"{hashlib.sha256(site.body).hexdigest()[:8]}"'
                start = 0
                asked = self.headers.get("Range")
                if asked and site.takes_ranges and self.headers.get("If-Range", tag) == tag:
                    start = int(asked.removeprefix("bytes=").removesuffix("-"))
                    if start >= len(site.body):
                        self.reply(416, b"", "text/plain")
                        return
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {start}-{len(site.body) - 1}/{len(site.body)}")
                else:
                    self.send_response(200)
                self.send_header("ETag", tag)
                self.send_header("Content-Length", str(len(site.body) - start))
                self.end_headers()
                if site.cut_after is None:
                    self.wfile.write(site.body[start:])
                else:
                    self.wfile.write(site.body[start : start + site.cut_after])
                    self.close_connection = True

        class Server(ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                if not isinstance(sys.exception(), ConnectionError):  # who hangs up is no news
                    super().handle_error(request, client_address)

        self.server = Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.url = f"{self.address}/file.zip"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def index(self):
        file = {
            "filename": "some_package-1.0-py3-none-any.whl",
            "url": self.file_address,
            "hashes": {"sha256": self.index_digest},
        }
        page = {"meta": {"api-version": "1.0"}, "name": "some-package", "files": [file]}
        return json.dumps(page).encode()

    def files_sent(self):
        return [asked for path, asked in self.requests if path == "/file.zip"]


@pytest.fixture
def site(monkeypatch):
    site = Site()
    monkeypatch.setenv("PIP_INDEX_URL", f"{site.address}/simple/")
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    yield site
    site.server.shutdown()
    site.server.server_close()


@pytest.fixture
def silent_address():
    """An address on loopback where nothing listens."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.server_close()
    return f"http://127.0.0.1:{server.server_port}"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def download_part(folder: Path) -> Path:
    (part,) = folder.glob("*.part")
    return part


def test_a_file_is_fetched_once(site, tmp_path):
    first = download(site.url, tmp_path, DIGEST)
    second = download(site.url, tmp_path, DIGEST)
    assert first == second
    assert first.read_bytes() == BODY
    assert names(tmp_path) == [f"{DIGEST[:12]}-file.zip"]
    assert len(site.files_sent()) == 1


def test_a_cached_file_that_has_changed_is_fetched_again(site, tmp_path):
    path = download(site.url, tmp_path, DIGEST)
    path.write_bytes(b"spoiled")
    assert fetched_file(tmp_path, DIGEST) is None
    assert download(site.url, tmp_path, DIGEST).read_bytes() == BODY


def test_without_a_digest_the_first_one_counts(site, tmp_path):
    path = download(site.url, tmp_path)
    assert download(site.url, tmp_path) == path
    assert len(site.files_sent()) == 1
    path.write_bytes(b"spoiled")
    assert download(site.url, tmp_path).read_bytes() == BODY


def test_a_connection_that_breaks_is_continued(site, tmp_path):
    site.cut_after = 150_000
    assert download(site.url, tmp_path, DIGEST).read_bytes() == BODY
    first, *others = site.files_sent()
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in others]
    assert first is None
    assert starts == sorted(set(starts))
    assert starts[0] > 0


def test_a_part_left_by_an_earlier_run_is_continued(site, tmp_path):
    (tmp_path / f"{DIGEST[:12]}-file.zip.part").write_bytes(BODY[:1000])
    assert download(site.url, tmp_path, DIGEST).read_bytes() == BODY
    assert site.files_sent() == ["bytes=1000-"]
    assert names(tmp_path) == [f"{DIGEST[:12]}-file.zip"]


@pytest.mark.parametrize("part", [b"x" * 1000, b"x" * len(BODY), b"x" * (len(BODY) + 5)])
def test_a_part_of_something_else_is_started_over(site, tmp_path, part):
    (tmp_path / f"{DIGEST[:12]}-file.zip.part").write_bytes(part)
    assert download(site.url, tmp_path, DIGEST).read_bytes() == BODY


def test_a_server_without_ranges_sends_all_of_it_again(site, tmp_path):
    site.takes_ranges = False
    (tmp_path / f"{DIGEST[:12]}-file.zip.part").write_bytes(BODY[:1000])
    assert download(site.url, tmp_path, DIGEST).read_bytes() == BODY


def test_a_file_that_changed_meanwhile_is_started_over(site, tmp_path):
    site.cut_after = 80_000
    with pytest.raises(GraftError, match="kept breaking"):
        download(site.url, tmp_path)
    assert download_part(tmp_path).stat().st_size > 0
    site.body, site.cut_after = BODY[::-1], None
    assert download(site.url, tmp_path).read_bytes() == BODY[::-1]


def test_other_bytes_than_expected_are_not_kept(site, tmp_path):
    site.body = b"something else"
    with pytest.raises(GraftError, match=f"not the expected {DIGEST}"):
        download(site.url, tmp_path, DIGEST)
    assert names(tmp_path) in ([], [f"{DIGEST[:12]}-file.zip.part.tag"])


def test_no_network(silent_address, tmp_path, monkeypatch):
    with pytest.raises(GraftError, match=r"no connection.*Check the network"):
        download(f"{silent_address}/file.zip", tmp_path, DIGEST)
    monkeypatch.setenv("PIP_INDEX_URL", f"{silent_address}/simple")
    with pytest.raises(GraftError, match=r"package index: no connection.*PIP_INDEX_URL"):
        registry_archive("some-package", "1.0", DIGEST, tmp_path)
    assert not is_reachable(silent_address)
    assert not index_has("some-package")


def test_a_name_server_that_never_answers_is_given_up(site, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "OPEN_SECONDS", 0.05)
    released = threading.Event()
    monkeypatch.setattr("requests.Session.get", lambda *arguments, **options: released.wait())
    with pytest.raises(GraftError, match="no answer within seconds"):
        download(site.url, tmp_path, DIGEST)
    assert not is_reachable(site.url, seconds=0.05)
    released.set()


def test_an_answer_that_is_an_error(site, tmp_path):
    with pytest.raises(GraftError, match="answers 404"):
        download(f"{site.address}/gone.zip", tmp_path)
    assert not is_reachable(f"{site.address}/gone.zip")
    assert is_reachable(site.url)


@pytest.mark.parametrize("url", ["http://example.org/file.zip", "ftp://example.org/file.zip", "file:///etc/hosts"])
def test_only_https(url, tmp_path):
    with pytest.raises(GraftError, match="not an https address"):
        download(url, tmp_path)


def test_a_full_disk_is_seen_before_it_is_full(site, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "SPARE_BYTES", 2**70)
    with pytest.raises(GraftError, match="MB are free"):
        download(site.url, tmp_path, DIGEST)


def test_a_folder_that_cannot_be_written(site, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(GraftError, match="cannot be written"):
        download(site.url, tmp_path / "file", DIGEST)


def test_an_archive_from_the_configured_index(site, tmp_path, monkeypatch):
    path = registry_archive("some_package", "1.0", DIGEST, tmp_path)
    assert path.name == f"{DIGEST[:12]}-some_package-1.0-py3-none-any.whl"
    assert path.read_bytes() == BODY
    assert index_has("some_package")
    site.requests.clear()
    assert registry_archive("some_package", "1.0", DIGEST, tmp_path) == path
    assert site.requests == []
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"mine={site.address}/simple")
    monkeypatch.delenv("PIP_INDEX_URL")
    assert index_has("some_package")


def test_an_index_that_sends_other_bytes_than_it_promises(site, tmp_path):
    site.body = b"something else"
    with pytest.raises(GraftError, match="has SHA-256"):
        registry_archive("some_package", "1.0", DIGEST, tmp_path)
    assert fetched_file(tmp_path, DIGEST) is None


def test_what_the_index_does_not_have(site, tmp_path):
    with pytest.raises(GraftError, match="no package nobody"):
        registry_archive("nobody", "1.0", DIGEST, tmp_path)
    site.index_digest = "0" * 64
    with pytest.raises(GraftError, match=f"no file of some_package 1.0 with SHA-256 {DIGEST}"):
        registry_archive("some_package", "1.0", DIGEST, tmp_path)


def test_passwords_in_an_address_are_not_shown(silent_address, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", silent_address.replace("//", "//user:secret@"))
    with pytest.raises(GraftError) as caught:
        registry_archive("some_package", "1.0", DIGEST, tmp_path)
    assert "secret" not in str(caught.value)


def redirect(before, after):
    """Where a session goes from an answer at ``before`` that redirects to ``after``."""
    response = requests.Response()
    response.url, response.status_code = before, 302
    response.headers["Location"] = after
    return new_session().get_redirect_target(response)


PUBLIC, OTHER = "https://files.example.org/a", "https://mirror.example.net/b"


@pytest.mark.parametrize(
    "before, after",
    [
        (PUBLIC, OTHER),
        (PUBLIC, "/elsewhere"),
        (PUBLIC, "//mirror.example.net/b"),
        ("https://10.0.0.7/a", "https://10.0.0.8/b"),
        ("http://127.0.0.1:80/a", "http://localhost:81/b"),
        ("http://127.0.0.1:80/a", OTHER),
        ("http://mirror.example.net/simple", "http://files.example.net/b"),
    ],
)
def test_a8_a_redirect_that_keeps_https_is_followed(before, after):
    assert redirect(before, after) == after


@pytest.mark.parametrize(
    "before, after",
    [
        (PUBLIC, "http://files.example.org/a"),
        (PUBLIC, "//127.0.0.1/b"),
        (PUBLIC, "http://127.0.0.1/b"),
        (PUBLIC, "http://localhost/b"),
        (PUBLIC, "https://localhost/b"),
        (PUBLIC, "https://a.localhost/b"),
        (PUBLIC, "https://[::1]/b"),
        (PUBLIC, "https://[::ffff:127.0.0.1]/b"),
        (PUBLIC, "https://192.168.0.1/b"),
        (PUBLIC, "https://169.254.169.254/latest"),
        (PUBLIC, "ftp://files.example.org/a"),
        (PUBLIC, "file:///etc/passwd"),
        ("http://127.0.0.1/a", "http://files.example.org/a"),
    ],
)
def test_a8_a_redirect_that_leaves_https_or_enters_this_network_is_refused(before, after):
    with pytest.raises(GraftError, match=r"is not an https address|is an address of this network"):
        redirect(before, after)


def test_a8_a_hop_through_plain_http_is_refused_before_it_is_taken(site, tmp_path, monkeypatch):
    """Whoever sits on one hop chooses the bytes, and without a digest they would be believed ever after."""
    site.redirects["/file.zip"] = "http://192.0.2.1/file.zip"
    with pytest.raises(GraftError, match=r"http://192\.0\.2\.1 is not an https address"):
        download(site.url, tmp_path)
    assert not is_reachable(site.url)
    assert names(tmp_path) == []


def test_a8_an_index_over_https_names_no_file_over_http(site, tmp_path, monkeypatch):
    monkeypatch.setattr(Site, "file_address", "http://192.0.2.1/file.zip")
    with pytest.raises(GraftError, match=r"http://192\.0\.2\.1 is not an https address"):
        registry_archive("some-package", "1.0", DIGEST, tmp_path)


@pytest.mark.parametrize("name", ["a%00b.zip", "a%0Ab.zip", "%2e%2e", "a" * 400, "..%5C..%5Ca", "a%2Fb.zip"])
def test_a8_a_name_in_an_address_is_a_plain_file_name(name):
    found = fetch.file_name(f"https://example.org/{name}")
    assert len(found) <= 100
    assert not set(found) & set("\0\n/\\")
