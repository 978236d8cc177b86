"""Read pip's settings of package indexes, certificates and proxies, for programs that do not read them.

As a program it runs a command in an environment that hands them on to uv: ``python pip_settings.py uv pip install``.
So it needs nothing but Python and its pip.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Mapping

_PIP_SECONDS = 10.0
# uv's variable for each setting of pip; uv takes several values with blanks between them.
_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
}


def pip_settings() -> dict[str, str]:
    """Return pip's settings by name, of its files and of variables PIP_..., which win; {} where there is no pip."""
    command = [sys.executable, "-m", "pip", "config", "list", "--disable-pip-version-check"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    return read_settings(done.stdout)


def read_settings(listed: str) -> dict[str, str]:
    """Return the settings that `pip config list` has printed: ``section.name='value'`` in each line."""
    found: dict[str, dict[str, str]] = {}
    for line in listed.splitlines():
        key, separator, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if separator and value.startswith(("'", '"')):
            found.setdefault(section, {})[name] = " ".join(str(ast.literal_eval(value)).split())
    return {**found.get("global", {}), **found.get("install", {}), **found.get(":env:", {})}


def uv_environment(settings: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which uv does as pip is told, but where a variable of its own says something else."""
    given = {_UV[name]: value for name, value in settings.items() if name in _UV and value}
    if given.get("UV_NO_INDEX", "").lower() in ("0", "false", "no", "off"):
        del given["UV_NO_INDEX"]
    if "UV_INDEX" in given:
        # pip asks all of them; with hashes in the lock file, none can slip in another package.
        given["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if {"UV_INDEX_URL", "UV_EXTRA_INDEX_URL"} & environment.keys():  # uv's older names, which newer ones would beat
        given = {name: value for name, value in given.items() if name not in ("UV_DEFAULT_INDEX", "UV_INDEX")}
    return {**given, **environment}


if __name__ == "__main__":
    os.execvpe(sys.argv[1], sys.argv[1:], uv_environment(pip_settings(), os.environ))
