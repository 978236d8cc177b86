"""Find variables of the environment that name certificates which cannot be read: an error where one is needed.

Prefect's client loads them before it asks anything, also a server of this machine's that has no certificate.
"""

import os
from pathlib import Path

from graft.core.errors import GraftError, first_line

# Name, value and problem of what was taken out of the environment, one a line.
UNUSABLE = "GRAFT_UNUSABLE_CERTIFICATES"
# What requests reads, through which all is fetched and MLflow is asked; and what Prefect's client reads.
OF_REQUESTS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
OF_PREFECT = ("SSL_CERT_FILE", "SSL_CERT_DIR", "PREFECT_API_SSL_CERT_FILE")
_FIX = "Name certificates in PEM form there, or unset that variable"


def set_unusable_certificates_aside() -> None:
    """Take variables whose certificates cannot be read out of the environment of this process and those it starts.

    :func:`require_certificates` says so where they would have been used.
    """
    found = []
    for name in (*OF_REQUESTS, *OF_PREFECT):
        value = os.environ.get(name)
        if value and (problem := _problem(Path(value))):
            found.append(f"{name} is {value}, {problem}")
            del os.environ[name]
    if found:
        os.environ[UNUSABLE] = "\n".join(found)


def require_certificates(url: str, names: tuple[str, ...] = OF_REQUESTS + OF_PREFECT) -> None:
    """Raise GraftError where an address would be trusted by certificates that cannot be read: never by others.

    Args:
        names: of the variables that the client reads.
    """
    for line in os.environ.get(UNUSABLE, "").splitlines():
        if url.startswith("https:") and line.partition(" ")[0] in names:
            raise GraftError(line, _FIX)


def _problem(path: Path) -> str:
    import ssl

    try:
        if path.is_dir():
            return ""  # of single certificates, which are read as they are needed
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return "a file without certificates"
    except OSError as error:
        return f"which cannot be read: {error.strerror or first_line(error)}"
    return ""
