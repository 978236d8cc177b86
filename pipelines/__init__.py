"""Prefect flows, one file per DVC stage: thin shells that call graft's functions as named tasks.

Run one with ``python -m pipelines.<stage>``; DVC does so from dvc.yaml.
"""

from graft.environment import configure
from graft.prefect_server import use_running_server
from graft.project import find_project

# Prefect reads its settings at import, so they must be in place before any flow's file is loaded.
configure(find_project())
use_running_server(find_project())
