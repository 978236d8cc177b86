"""Set up the libraries that graft stands on, through environment variables before their import.

Every value is only a default: what the user has set in the environment stays, but for what no run would survive.
"""

import contextlib
import getpass
import os
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path

from graft.core.certificates import set_unusable_certificates_aside
from graft.core.credentials import guard_output
from graft.core.files import make_private_folder
from graft.core.git import leave_other_repository
from graft.core.project import Project
from graft.core.proxies import normalise_proxies
from graft.core.quotas import THREAD_VARIABLES, fewer_cores

# A pipeline over private photographs must run offline and tell nobody.
NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
}

QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",  # TensorFlow's C++ side greets every process with a page about CPU features
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven worker processes for features that graft does not use
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A failed task would print its traceback three times; Prefect's UI keeps the log, the stage prints a sentence.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}

# Arrow's own allocator keeps much of what is given back to it: a manifest in memory took twice its size.
MEMORY = {"ARROW_DEFAULT_MEMORY_POOL": "system"}

# TensorFlow leaves oneDNN aside on processors without AVX-512 VNNI. Its own convolutions then take two to three times
# as long there to train, half of it in the kernel, which clears their memory anew in every step.
CONVOLUTIONS = {"TF_ENABLE_ONEDNN_OPTS": "1"}

# What is left of another program's run, and is taken out; these are beginnings. Keras would end each training early and
# say nothing, or want JAX. MLflow would write into that run. Prefect would store what steps return, try an error again
# for minutes, or have its server where nobody looks for it, or none.
OF_ANOTHER_RUN = (
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    "KERAS_NNX_ENABLED",
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_ACTIVE_MODEL_ID",
    "PREFECT_RESULTS_",
    "PREFECT_DEFAULT_RESULT_STORAGE_BLOCK",
    "PREFECT_TASKS_DEFAULT_",
    "PREFECT_TASK_DEFAULT_",
    "PREFECT_FLOWS_DEFAULT_",
    "PREFECT_FLOW_DEFAULT_",
    "PREFECT_TASKS_REFRESH_CACHE",
    *(f"PREFECT_SERVER_{name}" for name in ("API_HOST", "API_PORT", "API_BASE_PATH", "UI_SERVE_BASE")),
    "PREFECT_UI_SERVE_BASE",
    "PREFECT_TEST",
    "PREFECT_UNIT_TEST",
    "PREFECT_SERVER_EPHEMERAL_ENABLED",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE",
)

_NEVER_EMPTY = ("MLFLOW_", "PREFECT_", "KERAS_HOME", "TFHUB_CACHE_DIR")

# By itself MLflow tries seven times again, which takes four minutes where its server is away.
MLFLOW_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # it may say: in an hour
}

# Without a shared server each flow starts one of its own; on an empty home that takes longer than Prefect's
# limit of 20 s on a small machine.
PREFECT_STARTUP_SECONDS = "120"


# After that long nobody uses a temporary file any more: what lies there was left by a process that was killed.
SCRATCH_SECONDS = 7 * 24 * 3600


def configure(project: Project) -> None:
    """Fill in the environment for this process and those it starts.

    Its temporary files lie in the project, and neither its logs nor its tracebacks show a password or token.
    """
    guard_output()
    name_the_user()
    share_with_the_group(project)
    settings = {
        **NO_TELEMETRY,
        **QUIET,
        **MEMORY,
        **CONVOLUTIONS,
        **MLFLOW_PATIENCE,
        "PREFECT_HOME": str(project.prefect),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": PREFECT_STARTUP_SECONDS,
        "KERAS_HOME": str(project.cache / "keras"),
        "TFHUB_CACHE_DIR": str(project.cache / "hub"),
    }
    if not os.access(os.path.expanduser("~"), os.W_OK):  # noqa: PTH111 - which knows a user without a name
        # Else matplotlib makes a temporary folder, which each stage that was forked from one process would remove.
        settings["MPLCONFIGDIR"] = str(project.own_cache / "matplotlib")
    if threads := fewer_cores():
        settings |= dict.fromkeys(THREAD_VARIABLES, str(threads))
        _limit_what_is_loaded(threads)
    # Files for containers set variables to nothing, where MLflow and Prefect look for an address or a number.
    for name in [name for name, value in os.environ.items() if name.startswith(_NEVER_EMPTY) and not value.strip()]:
        del os.environ[name]
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    # Bundles, exports and serving are TensorFlow's; Keras would take what somebody's variable or file says.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    for name in [name for name in os.environ if name.startswith(OF_ANOTHER_RUN)]:
        del os.environ[name]
    leave_other_repository()
    normalise_proxies()
    set_unusable_certificates_aside()
    # Prefect creates its home but not the folders above it, and then fails at its database.
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    if os.environ["PREFECT_HOME"] == str(project.prefect):
        # Its database holds the passwords of blocks, and the key to them.
        make_private_folder(project.prefect)
    _use_scratch(project.scratch)


def name_the_user() -> None:
    """Name a user who has a number and no name, and a home, for this process: DVC, MLflow and Prefect ask for both.

    Containers are often started so (``docker run -u 54321``), which have ``/`` for a home then.
    """
    import pwd

    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"user{os.getuid()}"  # where libraries look first
    if not os.path.isabs(os.environ.get("HOME", "")):  # noqa: PTH117
        try:
            pwd.getpwuid(os.getuid())
        except KeyError:
            os.environ["HOME"] = "/"


def share_with_the_group(project: Project) -> None:
    """Let the group write what this process writes, where it may write into the project or the cache.

    By the mask that is usual, 022, a lock or database of the one would be closed to the other. What is private stays
    so: its mode is given with it. A folder that everybody may write to, such as /tmp, is nobody's share.
    """
    for folder in (project.root, project.cache):
        with contextlib.suppress(OSError):
            mode = folder.stat().st_mode
            if mode & stat.S_IWGRP and not mode & stat.S_IWOTH:
                os.umask(os.umask(0o077) & ~0o070)
                return


def _use_scratch(folder: Path) -> None:
    """Put all temporary files of this process into a folder, those of libraries too.

    The system's own is memory on many machines, and small on others; an array that is too large for memory has to lie
    on the disk that the project is on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(folder)
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another process may have removed it
            if time.time() - path.stat().st_mtime > SCRATCH_SECONDS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _limit_what_is_loaded(threads: int) -> None:
    """Limit the threads of a BLAS that is in this process already, as where graft is imported into a notebook."""
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(threads)
