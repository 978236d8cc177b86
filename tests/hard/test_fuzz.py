"""Fuzz in a short form: what it has found before, and a few hundred broken inputs of each kind."""

import logging
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz import bounded
from mutate import mutated
from targets import TARGETS, cases, repaired

# Of each target; those that take milliseconds an input have fewer.
INPUTS = {"onnx": 25, "parquet_table": 40, "text_table": 25, "box_pictures": 60, "params": 60, "published": 80}
USUAL_INPUTS = 150
# Imports TensorFlow, which takes seconds; `make hard` fuzzes it.
QUICK = sorted(set(TARGETS) - {"onnx"})
CASES = [pytest.param(target, data, id=f"{target}-{name}") for target in TARGETS for name, data in cases(target)]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """A form's parser logs each form that it refuses."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(("target", "data"), CASES)
def test_fuzz_what_was_found_before_is_mended(target: str, data: bytes, tmp_path: Path) -> None:
    with bounded():
        TARGETS[target].attempt(data, tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", QUICK)
def test_fuzz_broken_input_is_read_or_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    target, chance = TARGETS[name], random.Random(name)
    seeds = target.seeds()
    for data in seeds:
        target.attempt(data, tmp_path)
    for number in range(INPUTS.get(name, USUAL_INPUTS)):
        data = repaired(target, mutated(seeds[number % len(seeds)], seeds, chance))
        try:
            with bounded():
                target.attempt(data, tmp_path)
        except BaseException:
            (tmp_path / "found").write_bytes(data)
            print(f"{tmp_path / 'found'} is the input; mended, it becomes a case in tests/hard/cases/{name}")
            raise


def test_fuzz_a_target_that_fails_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fuzz

    class Ended(BaseException):
        pass

    def end(status: int) -> None:
        raise Ended

    def attempt(data: bytes, folder: Path) -> None:
        if data == b"bad":
            raise ValueError("bad")

    target = TARGETS["content"]
    monkeypatch.setitem(TARGETS, "content", type(target)("content", target.seeds, attempt))
    monkeypatch.setattr(fuzz.os, "_exit", end)
    fuzzer = fuzz.Fuzzer("content", 600, tmp_path, tmp_path)
    for data in (b"good", b"bad", b"bad"):
        fuzzer.attempt(data)
    (found,) = tmp_path.glob("*.input")
    assert found.read_bytes() == b"bad"
    assert "ValueError: bad" in found.with_suffix(".txt").read_text()
    fuzzer._seconds = 0
    with pytest.raises(Ended):
        fuzzer.attempt(b"good")
    assert "[4, " in (tmp_path / "tried.json").read_text()
