"""`graft promote` and `graft rollback`, on MLflow's registry as the project has it."""

import itertools
from pathlib import Path
from typing import Any

from accidents import Kind, load, rows_of

from graft.core.project import Project

MODEL = "tints"


class Promote(Kind):
    """Four versions, of which the first two have been champion."""

    def prepare(self) -> None:
        """Import MLflow's registry and its database."""
        load("mlflow.store.model_registry.sqlalchemy_store", "mlflow.store.tracking.sqlalchemy_store")

    def make(self, root: Path) -> None:
        """A registry without models behind the versions."""
        from graft.registry.promotion.promote import promote
        from graft.registry.store.tracking_store import open_store

        root.mkdir()
        client = open_store(Project(root))
        client.create_registered_model(MODEL)
        for number in range(4):
            client.create_model_version(MODEL, f"file:///nowhere/{number}", tags={"strategy": f"s{number + 1}"})
        for version in ("1", "2"):
            promote(_registry(root), version, "for a start", forced=True)

    def before(self, root: Path, draw: int) -> Any:
        """The versions."""
        return rows_of(root, "SELECT version, source FROM model_versions ORDER BY version")

    def variant(self, draw: int) -> int:
        """Every third draw is a rollback."""
        return int(draw % 3 == 0)

    def act(self, root: Path, draw: int) -> None:
        """A promotion, or a rollback."""
        from graft.registry.promotion.promote import promote, roll_back

        if self.variant(draw):
            roll_back(_registry(root), "by lot")
        else:
            promote(_registry(root), "3", "by lot", forced=True)

    def meanwhile(self, root: Path, draw: int) -> None:
        """Somebody else's promotion, which waits for the lock as long as it does anywhere."""
        from graft.registry.promotion.promote import promote

        promote(_registry(root), "4", "meanwhile", forced=True)

    def check_after(self, root: Path, draw: int, before: Any) -> None:
        """No version is gone, and there is one champion: the old one or the new one."""
        assert before == self.before(root, draw), "a version is gone"
        champions = rows_of(root, "SELECT version FROM registered_model_aliases WHERE alias = 'champion'")
        assert len(champions) == 1, f"champions: {champions}"
        assert champions[0][0] in (1, 2, 3, 4), champions

    def following(self, root: Path, draw: int) -> None:
        """A promotion goes through; then there is one champion, the last of an unbroken line, and no lock is left."""
        from graft.registry.promotion.promote import promote

        registry = _registry(root)
        version = "4" if registry.line().champion != "4" else "3"
        promote(registry, version, "the next", forced=True)
        line = registry.line()
        entries = line.entries
        assert entries[-1].reason == "the next", "the last entry"
        assert line.champion == entries[-1].version == version, "the champion is not the last entry's"
        assert not line.changing, "a lock is left"
        for earlier, later in itertools.pairwise(entries):
            assert later.before == earlier.version, f"the line breaks at {later}"
        assert [one.reason for one in entries].count("by lot") <= 1, "a change is entered twice"

    def check_end(self, root: Path, draw: int, before: Any) -> None:
        """No version is gone. What MLflow says is asked in the child: an engine here would outlive the project."""
        self.check_after(root, draw, before)


def _registry(root: Path) -> Any:
    from graft.registry.promotion.promote import open_registry

    return open_registry(Project(root), MODEL)


KIND = Promote()
