"""npm's and Debian's clients, played by scripts: what is asked of them, and what becomes of their answers."""

import hashlib
import os
import stat

import pytest

from graft.core.download import registries
from graft.core.download.registries import debian_archive, debian_has, npm_archive, npm_has
from graft.core.errors import GraftError

BODY = b"an archive" * 100
DIGEST = hashlib.sha256(BODY).hexdigest()

NPM = """#!/bin/sh
echo "$@" >> "{log}"
case "$1" in
  view) echo "{address}" ;;
  pack) while [ "$1" != --pack-destination ]; do shift; done; cp "{body}" "$2/pkg-1.0.tgz" ;;
esac
"""
APT = """#!/bin/sh
echo "$@" >> "{log}"
case "$*" in *--print-uris*) echo "'somewhere' pkg.deb 9 SHA256:0" ;; *) cp "{body}" ./pkg_1.0_all.deb ;; esac
"""
FAILING = """#!/bin/sh
echo "{said}" >&2
exit 1
"""


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Puts a script on the path under a client's name, and tells what it was asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    log, body = tmp_path / "log", tmp_path / "body"
    body.write_bytes(BODY)

    def install(name, script, **values):
        path = folder / name
        path.write_text(script.format(**{"log": log, "body": body, "address": "", **values}))
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
        return lambda: log.read_text().splitlines() if log.exists() else []

    return install


def test_npm_downloads_from_the_registrys_own_address(client, tmp_path, monkeypatch):
    asked = client("npm", NPM, address="https://example.org/pkg-1.0.tgz")
    received = []

    def download(url, folder, sha256):
        received.append((url, sha256))
        return folder / "pkg"

    monkeypatch.setattr(registries, "download", download)
    assert npm_archive("pkg", "1.0", DIGEST, tmp_path / "cache") == tmp_path / "cache/pkg"
    assert received == [("https://example.org/pkg-1.0.tgz", DIGEST)]
    assert [line.split()[:3] for line in asked()] == [["view", "pkg@1.0", "dist.tarball"]]


def test_npm_packs_what_only_npm_can_fetch(client, tmp_path):
    asked = client("npm", NPM, address="http://example.org/needs-a-login.tgz")  # graft itself takes https only
    path = npm_archive("pkg", "1.0", DIGEST, tmp_path / "cache")
    assert path == tmp_path / "cache" / f"{DIGEST[:12]}-pkg-1.0.tgz"
    assert path.read_bytes() == BODY
    assert "--ignore-scripts" in asked()[-1]
    assert sorted(tmp_path.joinpath("cache").iterdir()) == [path]
    count = len(asked())
    assert npm_archive("pkg", "1.0", DIGEST, tmp_path / "cache") == path
    assert len(asked()) == count  # it is here already


def test_apt_downloads(client, tmp_path):
    client("apt-get", APT)
    assert debian_has("pkg")
    path = debian_archive("pkg", DIGEST, tmp_path / "cache")
    assert path.name == f"{DIGEST[:12]}-pkg_1.0_all.deb"
    assert path.read_bytes() == BODY
    assert sorted(tmp_path.joinpath("cache").iterdir()) == [path]


def test_another_release_is_not_kept(client, tmp_path):
    client("apt-get", APT)
    with pytest.raises(GraftError, match=f"not the expected {'0' * 64}.*another release"):
        debian_archive("pkg", "0" * 64, tmp_path / "cache")
    assert list(tmp_path.joinpath("cache").iterdir()) == []


@pytest.mark.parametrize(
    "name, said, expected",
    [
        ("npm", "npm error code E404\nnpm error 404 Not Found - GET https://user:secret@x/pkg", "404 Not Found"),
        ("npm", "npm ERR! code ENOTFOUND\nnpm ERR! network request failed", "network request failed"),
        ("apt-get", "E: Unable to locate package pkg", r"Unable to locate package pkg.*apt-get update"),
        ("apt-get", "", "does not say why"),
    ],
)
def test_a_client_that_fails(name, said, expected, client, tmp_path):
    client(name, FAILING, said=said)
    with pytest.raises(GraftError, match=expected) as caught:
        npm_archive("pkg", "1.0", DIGEST, tmp_path) if name == "npm" else debian_archive("pkg", DIGEST, tmp_path)
    assert "secret" not in str(caught.value)
    assert not (npm_has("pkg", "1.0") if name == "npm" else debian_has("pkg"))


def test_a_client_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GraftError, match=r"npm is not installed\. Install npm"):
        npm_archive("pkg", "1.0", DIGEST, tmp_path)
    with pytest.raises(GraftError, match="apt-get is not installed"):
        debian_archive("pkg", DIGEST, tmp_path)
    assert not npm_has("pkg", "1.0")


def test_a_client_that_never_answers(client, tmp_path, monkeypatch):
    client("npm", "#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(registries, "ASK_SECONDS", 0.2)
    with pytest.raises(GraftError, match="no answer within seconds"):
        npm_archive("pkg", "1.0", DIGEST, tmp_path)


def test_a_registry_without_the_package(client, tmp_path):
    client("npm", NPM, address="")
    with pytest.raises(GraftError, match=r"no pkg 1\.0"):
        npm_archive("pkg", "1.0", DIGEST, tmp_path)
