"""Part ``fuzz`` of `make hard`: broken files, tables, bodies and models, against the code that reads them.

Each target runs in a process of its own, so that a crash is found too. Where atheris is installed, its libFuzzer
chooses what to change by the code that a file reaches; else :mod:`mutate` does, blindly. What is found lies in
.graft/hard/found/TARGET, a file of the input and one of the traceback for each kind. When it is mended, the input
becomes a case in tests/hard/cases/TARGET.
"""

import contextlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from rows import Row

HERE = Path(__file__).resolve().parent
FOUND = HERE.parents[1] / ".graft" / "hard" / "found"
# Of processor time for one input of some kilobytes, and of memory beyond what the process took before.
MOST_SECONDS = 20
MOST_BYTES = 1_000_000_000


class TooSlowError(BaseException):
    """An input took more processor time than any should; nothing that catches exceptions catches it."""


class TooLargeError(Exception):
    """An input took more memory than any should."""


def run(minutes: float, only: list[str]) -> Iterator[Row]:
    """Yield a row for each target."""
    from targets import TARGETS, cases

    for name in only or TARGETS:
        folder = FOUND / name
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        command = [sys.executable, __file__, name, str(60 * minutes), str(folder)]
        # Libraries for pictures write a line about each that is damaged.
        done = subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
        counted = folder / "tried.json"
        tried, seconds = json.loads(counted.read_text()) if counted.is_file() else (0, 0)
        found = len(list(folder.glob("*.input")))
        if done.returncode:
            print(f"{name}: its process ended with {done.returncode}; {folder / 'last'} is what it read", flush=True)
            found += 1
        mended = len(list(cases(name)))
        cells = {"target": name, "inputs": tried, "minutes of processor": round(seconds / 60, 1)}
        yield Row({**cells, "found and mended": mended, "left": found}, is_good=not found and tried > 0)


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Raise where what is inside takes more than :data:`MOST_SECONDS` or :data:`MOST_BYTES`."""
    from peak_memory import peak_bytes

    def too_slow(number: int, frame: FrameType | None) -> None:
        raise TooSlowError(f"more than {MOST_SECONDS} s of processor time")

    before = peak_bytes()
    earlier = signal.signal(signal.SIGPROF, too_slow)
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, earlier)
    if (taken := peak_bytes() - before) > MOST_BYTES:
        raise TooLargeError(f"{taken / 1e6:.0f} MB")


def kind_of(error: BaseException) -> str:
    """Return a name for a finding: the exception, and the last line of graft that it went through."""
    places = traceback.extract_tb(error.__traceback__)
    own = [place for place in places if "/graft/" in place.filename] or places
    return f"{type(error).__name__}-{Path(own[-1].filename).stem}-{own[-1].name.strip('<>')}"


class Fuzzer:
    """Tries inputs on a target for some seconds of processor time, and writes down what it finds, each kind once."""

    def __init__(self, name: str, seconds: float, found: Path, folder: Path) -> None:
        from targets import TARGETS

        self.target, self._seconds, self._found, self._folder = TARGETS[name], seconds, found, folder
        self._begun, self._tried, self._written = time.process_time(), 0, 0.0

    def attempt(self, data: bytes) -> None:
        """Try one input. Ends the process when the time is over."""
        from targets import repaired

        data = repaired(self.target, data)
        (self._found / "last").write_bytes(data)
        try:
            with bounded():
                self.target.attempt(data, self._folder)
        except (Exception, TooSlowError) as error:
            name = self._found / kind_of(error)
            if not (input_file := name.with_name(f"{name.name}.input")).exists():
                input_file.write_bytes(data)
                name.with_name(f"{name.name}.txt").write_text(traceback.format_exc(), "utf-8", "backslashreplace")
                print(f"{self.target.name}: {name.name}: {error}", flush=True)
        self._tried += 1
        passed = time.process_time() - self._begun
        if passed > self._written + 1 or passed > self._seconds:
            self._written = passed
            (self._found / "tried.json").write_text(json.dumps([self._tried, passed]))
        if passed > self._seconds:
            sys.stdout.flush()
            os._exit(0)


def main(name: str, seconds: float, found: Path) -> None:
    """Fuzz one target in this process, for so many seconds of processor time."""
    from targets import TARGETS, cases, scratch

    logging.disable(logging.CRITICAL)  # a form's parser logs each form that it refuses
    with tempfile.TemporaryDirectory(dir=scratch(), prefix="graft-fuzz-") as folder, contextlib.chdir(folder):
        own = Path(folder, "own")
        own.mkdir()
        fuzzer = Fuzzer(name, seconds, found.resolve(), own)
        corpus = [*TARGETS[name].seeds(), *(data for _, data in cases(name))]
        try:
            import atheris
        except ImportError:
            _blindly(fuzzer, corpus)
            return
        with atheris.instrument_imports(include=[*fuzzer.target.packages], enable_loader_override=False):
            for data in corpus:
                fuzzer.attempt(data)
        for number, data in enumerate(corpus):
            Path(folder, f"seed-{number}").write_bytes(data)
        _with_atheris(atheris, fuzzer, corpus, Path(folder))


def _blindly(fuzzer: Fuzzer, corpus: list[bytes]) -> None:
    from mutate import mutated

    chance = random.Random(int.from_bytes(os.urandom(8)))
    for data in corpus:
        fuzzer.attempt(data)
    while True:
        fuzzer.attempt(mutated(chance.choice(corpus), corpus, chance))


def _with_atheris(atheris: Any, fuzzer: Fuzzer, corpus: list[bytes], folder: Path) -> None:
    from mutate import mutated

    inputs = folder / "corpus"
    inputs.mkdir()
    for number, data in enumerate(corpus):
        (inputs / str(number)).write_bytes(data)

    def change(data: bytes, most: int, seed: int) -> bytes:
        # In turn: libFuzzer's changes know what comparisons failed, ours know numbers, words and pieces of others.
        if seed % 2:
            return bytes(atheris.Mutate(data, most))
        return mutated(data, corpus, random.Random(seed))[:most]

    most = max(map(len, corpus)) + 2_000
    options = [f"-max_len={most}", "-rss_limit_mb=4000", "-timeout=600", "-verbosity=0", "-print_final_stats=0"]
    atheris.Setup([sys.argv[0], *options, str(inputs)], fuzzer.attempt, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "data")]
    sys.modules["fuzz"] = sys.modules["__main__"]
    main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))
