"""The aliases of versions in MLflow's registry, and the name that a project's models are registered under."""

from graft.core.params.models import RegisterParams
from graft.core.project import Project
from graft.data.folder.versioning import dataset_name

# The best of the last run by validation; set by stage register.
CHALLENGER = "challenger"
# In production; moved by `graft promote` and `graft rollback` alone.
CHAMPION = "champion"
# What a rollback brings back.
PREVIOUS_CHAMPION = "previous_champion"


def registered_name(project: Project, params: RegisterParams) -> str:
    """Return the model's name in the registry: that of the data set, unless params name another."""
    return dataset_name(project) if params.model_name == "auto" else params.model_name
