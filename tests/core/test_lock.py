"""One lock, one message."""

import subprocess
import sys
from pathlib import Path

import pytest

from graft.core.errors import GraftError
from graft.core.lock import LockedError, locked


def test_another_process_is_named_and_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "state" / "x.lock"
    code = (
        "import sys, pathlib; from graft.core.lock import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), ''): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match="Another import"), locked(path, "Another import is at work"):
            pass
        with pytest.raises(LockedError), locked(path, "busy", wait_seconds=2.3, waiting="Waiting for the other"):
            pass
        assert "Waiting for the other" in capsys.readouterr().err
        other.stdin.close()
        other.wait()
    with locked(path, "busy"):
        pass


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GraftError, match="cannot be written"), locked(tmp_path / "file" / "x.lock", "busy"):
        pass
