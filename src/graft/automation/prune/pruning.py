"""Find all that nobody needs any more, and remove it."""

from collections.abc import Iterable

from graft.automation.prune.file_leftovers import cached_leftovers, delivery_leftovers, log_leftovers
from graft.automation.prune.leftover import Leftover
from graft.automation.prune.registry_leftovers import registry_leftovers
from graft.core.errors import first_line
from graft.core.lock import project_lock
from graft.core.params.models import Params
from graft.core.project import Project
from graft.core.wording import counted


def find_leftovers(project: Project, params: Params) -> list[Leftover]:
    """Return what may go, kind by kind; nothing is changed.

    To be called while no other command is at work, see :func:`graft.core.lock.retraining_lock`.
    """
    finders = (registry_leftovers, cached_leftovers, delivery_leftovers, log_leftovers)
    return [leftover for find in finders for leftover in find(project, params)]


def remove_leftovers(leftovers: Iterable[Leftover]) -> str:
    """Remove what was found; return what that was, in a sentence."""
    count = freed = 0
    for leftover in leftovers:
        leftover.remove()
        count, freed = count + 1, freed + leftover.bytes
    return f"Pruned: {counted(count, 'thing')}, {in_words(freed)}." if count else ""


def prune_nightly(project: Project, params: Params) -> list[str]:
    """Prune at the end of a retraining; return what was done, or why it was not, as sentences. Nothing is raised."""
    try:
        with project_lock(project, params.retrain.timeout_minutes * 60):
            done = remove_leftovers(find_leftovers(project, params))
    except Exception as error:  # the retraining stands
        return [f"Not pruned: {first_line(error)}"]
    return [done] if done else []


def in_words(size: int) -> str:
    """Return a number of bytes in words."""
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
