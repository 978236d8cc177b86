"""Accidents by lot: a command is hit by a fault or a signal, and afterwards all must be as if it had not been.

    python tests/hard/accidents.py retrain --draws 100        # draws 0 to 99
    python tests/hard/accidents.py retrain --draw 137         # that one again, with all that it printed

Draw 137 of a kind is the same each time: its way (an error, SIGKILL, SIGSTOP) and its place among the calls that write
follow from its number. Prints a line of JSON for each draw; ends with 1 where one was lost.
"""

import argparse
import errno
import importlib
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fault_injection import Faults, own_folder, preloaded_again

HERE = Path(__file__).resolve().parent
WAYS = ("ENOSPC", "SIGKILL", "EIO", "SIGSTOP, then on", "EACCES", "SIGSTOP, then SIGKILL", "EINTR")
KINDS = ("retrain", "promote", "predict", "export", "stages", "bring_in", "serve", "run")
LIMIT_SECONDS = 900.0  # of what takes seconds where nothing else runs


class Kind:
    """What one command works on, and what must hold after it. A module ``accidents_NAME`` has one, called ``KIND``."""

    def prepare(self) -> None:
        """Import what the command needs; start nothing that a fork would not have."""

    def make(self, root: Path) -> None:
        """Make the project that each draw gets a copy of."""
        raise NotImplementedError

    def before(self, root: Path, draw: int) -> Any:
        """Return what must not be lost."""

    def act(self, root: Path, draw: int) -> None:
        """Run the command that is hit."""
        raise NotImplementedError

    def meanwhile(self, root: Path, draw: int) -> None:
        """Run another command while the first one is stopped; it may refuse, but not wait for ever."""
        self.following(root, draw)

    def check_after(self, root: Path, draw: int, before: Any) -> None:
        """Raise AssertionError where something was lost, or looks whole and is not."""

    def following(self, root: Path, draw: int) -> None:
        """Run the next command, which must end well."""
        raise NotImplementedError

    def check_end(self, root: Path, draw: int, before: Any) -> None:
        """Raise AssertionError where not all is as if nothing had happened."""

    def variant(self, draw: int) -> int:
        """Return which of several commands a draw is of: each has its own number of calls."""
        return 0


def load(*modules: str) -> None:
    """Import modules before the forks, so that no draw waits for that."""
    for module in modules:
        importlib.import_module(module)


def rows_of(root: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of a project's own database of MLflow."""
    connection = sqlite3.connect(root / "mlflow.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@dataclass
class Drawn:
    """What came of a draw.

    Attributes:
        ended: how the command that was hit ended: ``well``, ``refused`` with a sentence, ``raised`` another exception,
            or by a signal.
        at, of: number of the call that was hit, and how many the command makes.
        problem: what was lost or did not go on; ``""`` where all held.
    """

    kind: str
    draw: int
    way: str
    at: int = 0
    of: int = 0
    what: str = ""
    ended: str = ""
    problem: str = ""
    seconds: float = 0.0
    printed: str = field(default="", repr=False)


class LostError(Exception):
    """A process did not end in time."""


class Child:
    """A function in a fork of this process, in a process group of its own."""

    def __init__(self, action: Callable[[], object], log: Path, arm: Callable[[], None] = lambda: None) -> None:
        self.id = os.fork()
        if self.id == 0:
            os.setpgid(0, 0)
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            code = _call(action, arm)
            sys.stdout.flush()
            os._exit(code)
        with _suppress_missing():
            os.setpgid(self.id, self.id)
        self.log = log

    def wait(self, stops: bool = False) -> str:
        """How it ended, or ``stopped``. Raises LostError where it takes longer than it may; it is ended then."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while True:
            found, status = os.waitpid(self.id, os.WNOHANG | (os.WUNTRACED if stops else 0))
            if found and os.WIFSTOPPED(status):
                return "stopped"
            if found:
                self.signal(signal.SIGKILL)  # what it left running
                code = os.waitstatus_to_exitcode(status)
                return {0: "well", 1: "refused", 3: "raised"}.get(code, f"ended with {code}")
            if time.monotonic() > deadline:
                self.signal(signal.SIGKILL)
                os.waitpid(self.id, 0)
                raise LostError(f"had not ended after {LIMIT_SECONDS:.0f} s")
            time.sleep(0.005)

    def signal(self, number: int) -> None:
        """Send a signal to it and all that it started."""
        with _suppress_missing():
            os.killpg(self.id, number)


def _call(action: Callable[[], object], arm: Callable[[], None]) -> int:
    from graft.core.errors import GraftError

    try:
        arm()
        action()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else bool(end.code)
    except GraftError as error:
        print(f"refused: {error}", flush=True)
        return 1
    except BaseException as error:
        traceback.print_exc()
        # The command line says these in a sentence.
        return 1 if isinstance(error, OSError) or type(error).__name__ == "MlflowException" else 3
    return 0


class Lot:
    """Draws of one kind, each on a copy of its project."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder, self.faults = name, folder, Faults()
        self.kind: Kind = importlib.import_module(f"accidents_{name}").KIND
        self.kind.prepare()
        self._base = folder / "base"
        self._of: dict[int, int] = {}
        made = Child(lambda: self.kind.make(self._base), folder / "made.log")
        if (ended := made.wait()) != "well":
            raise SystemExit(f"The project of {name} could not be made ({ended}):\n{made.log.read_text()}")

    def draw(self, number: int) -> Drawn:
        """Make one draw, and remove its files."""
        started = time.monotonic()
        root = self.folder / f"{number}" / "project"
        drawn = Drawn(self.name, number, WAYS[number % len(WAYS)])
        try:
            drawn.of = self._count(number)
            drawn.at = 1 + int(random.Random(f"{self.name}:{number}").random() * drawn.of)
            self._copy(root)
            self._draw(root, drawn)
        except (AssertionError, LostError) as error:
            drawn.problem = drawn.problem or str(error) or "".join(traceback.format_exception(error)[-3:])
        finally:
            self.faults.disarm()
        if drawn.problem:
            log = root.with_name("log")
            drawn.printed = log.read_text(errors="replace")[-4000:] if log.exists() else ""
        shutil.rmtree(root.parent, ignore_errors=True)
        drawn.seconds = round(time.monotonic() - started, 2)
        return drawn

    def _draw(self, root: Path, drawn: Drawn) -> None:
        kind, number, log = self.kind, drawn.draw, root.with_name("log")
        before = kind.before(root, number)
        hit: dict[str, int] = {"error": getattr(errno, drawn.way)} if drawn.way[0] == "E" else {"signal": 0}
        if "signal" in hit:
            hit["signal"] = signal.SIGSTOP if drawn.way.startswith("SIGSTOP") else signal.SIGKILL
        child = Child(lambda: kind.act(root, number), log, lambda: self.faults.arm(root, drawn.at, **hit))
        drawn.ended = child.wait(stops=True)
        drawn.what = self.faults.what
        self.faults.disarm()
        if drawn.ended == "stopped":
            try:
                other = Child(lambda: kind.meanwhile(root, number), log).wait()
            finally:
                child.signal(signal.SIGCONT if drawn.way.endswith("on") else signal.SIGKILL)
            drawn.ended = child.wait()
            assert other in ("well", "refused"), f"the command beside one that was stopped {other}"
        if drawn.way.startswith("E") or drawn.way.endswith("on"):
            assert drawn.ended in ("well", "refused", "raised"), f"the command {drawn.ended}"
        kind.check_after(root, number, before)
        ended = Child(lambda: kind.following(root, number), log).wait()
        assert ended == "well", f"the next command {ended}"
        kind.check_end(root, number, before)

    def _count(self, number: int) -> int:
        """How many calls the command makes where nothing happens; it and the next one must end well then."""
        variant = self.kind.variant(number)
        if variant not in self._of:
            root = self.folder / "counted" / "project"
            self._copy(root)
            log = root.with_name("log")
            before = self.kind.before(root, number)
            ended = [Child(lambda: self.kind.act(root, number), log, lambda: self.faults.arm(root)).wait()]
            self._of[variant] = self.faults.count
            self.faults.disarm()
            try:
                self.kind.check_after(root, number, before)
                ended.append(Child(lambda: self.kind.following(root, number), log).wait())
                self.kind.check_end(root, number, before)
            except AssertionError as error:
                ended.append("".join(traceback.format_exception(error)))
            if ended != ["well", "well"] or self._of[variant] < 3:
                raise SystemExit(f"{self.name} without a fault: {ended}\n{log.read_text()}")
            shutil.rmtree(root.parent)
        return self._of[variant]

    def _copy(self, root: Path) -> None:
        shutil.rmtree(root.parent, ignore_errors=True)
        shutil.copytree(self._base, root, symlinks=True)


class _suppress_missing:  # noqa: N801
    """contextlib.suppress would be of this process's imports too; a process that has gone needs no signal."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type | None, *error: object) -> bool:
        return kind is not None and issubclass(kind, ProcessLookupError | PermissionError)


def draws(kind: str, numbers: list[int]) -> Iterator[Drawn]:
    """Make these draws of a kind in this process, which has the library preloaded."""
    lot = Lot(kind, own_folder(kind))
    for number in numbers:
        yield lot.draw(number)


def main() -> int:
    """Make draws, and print each as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--draws", type=int, default=70, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--draw", type=int, nargs="+", help="these alone, and what they print")
    arguments = parser.parse_args()
    preloaded_again(own_folder(arguments.kind))
    sys.modules["accidents"] = sys.modules["__main__"]
    tests = HERE.parent
    sys.path[:0] = [str(tests), *(str(tests / name) for name in ("automation/retraining", "deployment/server", "data"))]
    is_good = True
    try:
        numbers = arguments.draw or list(range(arguments.first, arguments.first + arguments.draws))
        for drawn in draws(arguments.kind, numbers):
            is_good &= not drawn.problem
            print(json.dumps(asdict(drawn)), flush=True)
            if drawn.printed and arguments.draw:
                print(drawn.printed, file=sys.stderr)
    finally:
        shutil.rmtree(own_folder(arguments.kind), ignore_errors=True)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
