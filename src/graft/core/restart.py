"""Start this process anew without settings of Python's under which the libraries that graft stands on do not work.

They are left in a shell or a container for another program. Python reads them before anything of graft, so taking them
out of the environment is not enough. Nothing heavy is imported here: every stage comes by.
"""

import codecs
import os
import sys

# Without assertions and docstrings, Altair and Great Expectations cannot be imported; a stage that stays in Python's
# prompt never ends; and `python -m pipelines.<stage>` has to find the project's own folder.
_HARMFUL = ("PYTHONOPTIMIZE", "PYTHONINSPECT", "PYTHONSAFEPATH")
_WARNINGS = "PYTHONWARNINGS"
# Classes and files have names in every script, and an encoding of less than UTF-8 ends a command at the first of them.
_UTF8, _STREAMS = "PYTHONUTF8", "PYTHONIOENCODING"


def restart_without_harmful_settings() -> None:
    """Replace this process by one of the same arguments where such a setting is in its environment; else return."""
    names = [name for name in _HARMFUL if os.environ.get(name)]
    if "error" in os.environ.get(_WARNINGS, ""):  # libraries warn while they are imported
        names.append(_WARNINGS)
    if os.environ.get(_STREAMS) and sys.stdout and codecs.lookup(sys.stdout.encoding).name != "utf-8":
        names.append(_STREAMS)
    is_narrow = sys.getfilesystemencoding() != "utf-8" and os.environ.get(_UTF8) != "1"
    if not names and not is_narrow:
        return
    for name in names:
        del os.environ[name]
    if is_narrow:
        os.environ[_UTF8] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
