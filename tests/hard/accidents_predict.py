"""`graft predict --out`: answers for a folder of photographs, as a table that is whole or not there."""

import hashlib
import os
from pathlib import Path
from typing import Any

from accidents import Kind, load
from small_models import make_trained, photographs_of

FORMS = ("csv", "parquet", "json", "jsonl")


class Predict(Kind):
    """Some hundred photographs, and a table of an earlier run in the place of the new one."""

    def prepare(self) -> None:
        """Import what the command imports."""
        load("openvino", "pandas", "pyarrow.parquet", "graft.cli.main", "graft.deployment.predict.results")
        load("graft.networks.engines.open_classifier")

    def make(self, root: Path) -> None:
        """A trained model and photographs, one of them broken."""
        make_trained(root)
        photographs_of(root / "photographs", 300)
        (root / "photographs/broken.png").write_bytes(b"nothing")

    def variant(self, draw: int) -> int:
        """Each form of table is written by other calls."""
        return draw % len(FORMS)

    def before(self, root: Path, draw: int) -> Any:
        """The photographs; a table of an earlier run is laid where the new one comes."""
        out = self._out(root, draw)
        if draw // 8 % 2:
            out.write_bytes(b"the table of last week")
        return photograph_bytes(root), _whole(self.variant(draw))

    def act(self, root: Path, draw: int) -> None:
        """The command, as it is typed."""
        from graft.cli.main import main

        os.chdir(root)
        out = str(self._out(root, draw))
        _run(main, "predict", "photographs", "--model", "model", "--out", out, "--replace")

    def meanwhile(self, root: Path, draw: int) -> None:
        """The same command again."""
        self.act(root, draw)

    def check_after(self, root: Path, draw: int, before: Any) -> None:
        """The table is the old one, the whole new one, or not there where it was not."""
        photographs, whole = before
        assert photograph_bytes(root) == photographs, "a photograph was changed"
        out = self._out(root, draw)
        found = out.read_bytes() if out.exists() else b""
        if whole is None and not found:
            return
        if whole is None:
            _WHOLE[self.variant(draw)] = found
        else:
            old = b"the table of last week" if draw // 8 % 2 else b""
            assert found in (whole, old), f"{out.name} is neither the old table nor the new one: {len(found)} bytes"

    def following(self, root: Path, draw: int) -> None:
        """The same command."""
        self.act(root, draw)

    def check_end(self, root: Path, draw: int, before: Any) -> None:
        """The whole table, and nothing beside it."""
        whole = _WHOLE[self.variant(draw)]
        assert self._out(root, draw).read_bytes() == whole, "the table is not what it should be"
        # What a process that was killed leaves is hidden, and goes after a day.
        beside = [path.name for path in root.iterdir() if "partial" in path.name and path.name[0] != "."]
        assert beside == [], f"left: {beside}"

    def _out(self, root: Path, draw: int) -> Path:
        return root / f"answers.{FORMS[self.variant(draw)]}"


# By form, the table of the run without a fault.
_WHOLE: dict[int, bytes] = {}


def _whole(variant: int) -> bytes | None:
    return _WHOLE.get(variant)


def photograph_bytes(root: Path) -> str:
    """A hash of all photographs of a project."""
    digest = hashlib.sha256()
    for folder in (root / "photographs", root / "data"):
        for path in sorted(folder.rglob("*.png")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _run(main: Any, *arguments: str) -> None:
    import sys

    sys.argv = ["graft", *arguments]
    main()


KIND = Predict()
