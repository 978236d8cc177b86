"""Start this process anew without settings of Python's under which the libraries that graft stands on do not work.

They are left in a shell or a container for another program. Python reads them before anything of graft, so taking them
out of the environment is not enough. Nothing heavy is imported here: every stage comes by.
"""

import os
import sys

# Without assertions and docstrings, Altair and Great Expectations cannot be imported; a stage that stays in Python's
# prompt never ends; and `python -m pipelines.<stage>` has to find the project's own folder.
_HARMFUL = ("PYTHONOPTIMIZE", "PYTHONINSPECT", "PYTHONSAFEPATH")
_WARNINGS = "PYTHONWARNINGS"


def restart_without_harmful_settings() -> None:
    """Replace this process by one of the same arguments where such a setting is in its environment; else return."""
    names = [name for name in _HARMFUL if os.environ.get(name)]
    if "error" in os.environ.get(_WARNINGS, ""):  # libraries warn while they are imported
        names.append(_WARNINGS)
    if not names:
        return
    for name in names:
        del os.environ[name]
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
