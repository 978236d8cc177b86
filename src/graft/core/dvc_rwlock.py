"""Clear DVC's list of who reads and writes what of processes that are gone.

DVC keeps it in ``.dvc/tmp/rwlock`` and refuses commands on a path while a process with the number of its reader or
writer exists, also where that is a zombie, or another program that has the number now, after a restart for example. And
a kill while the file is written leaves half of it, with which DVC refuses every command.
"""

import json
from pathlib import Path


def clear_abandoned_rwlock(root: Path) -> bool:
    """Remove the list where it names anybody, or cannot be read, and no DVC is at work; return whether it was removed.

    Args:
        root: of the DVC project.
    """
    path = root / ".dvc" / "tmp" / "rwlock"
    try:
        content = json.loads(path.read_bytes())
    except OSError:
        return False
    except ValueError:
        content = None
    if isinstance(content, dict) and not any(content.values()):
        return False
    from graft.core.processes import is_at_work

    if is_at_work("dvc", root.resolve()):
        return False
    path.unlink(missing_ok=True)
    return True
