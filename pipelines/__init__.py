"""Prefect flows, one file per DVC stage: thin shells that call graft's functions as named tasks.

Run one with ``python -m pipelines.<stage>``; DVC does so from dvc.yaml.
"""

from graft.automation.warm.client import hand_over

# Before anything that takes time to import: under `graft run` another process has it all.
hand_over()

from graft.automation.prefect_server import use_server  # noqa: E402
from graft.core.environment import configure  # noqa: E402
from graft.core.project import find_project  # noqa: E402

# Prefect reads its settings at import, so they must be in place before any flow's file is loaded.
configure(find_project())
use_server(find_project())
