"""What the machine is called, what a process took, and where photographs lie."""

import shutil
from pathlib import Path

import pytest

from benchmarks.machine import _cpu_model, cold_cache, describe_machine, measure, photographs_folder


def test_the_machine_is_described_with_its_versions() -> None:
    facts = describe_machine()
    assert {"CPU", "memory", "Python", "tensorflow", "keras", "openvino", "load before"} <= set(facts)
    assert all(facts.values())


def test_the_processor_is_named_with_its_vector_units(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Some CPU\ncpu MHz\t\t: 2500.012\nflags\t\t: fpu avx2 amx_tile\n")
    assert _cpu_model(info) == "Some CPU, 2.5 GHz, avx2, amx_tile"
    assert _cpu_model(tmp_path / "none")


def test_a_process_is_measured_by_itself() -> None:
    code = "b = bytearray(300_000_000); import time; time.sleep(0.2); print('{\"n\": 3}')"
    found = measure(["-c", code])
    assert found.answer == {"n": 3}
    assert found.seconds > 0.2
    assert 300 < found.peak_mb < 1000


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)ended with 1.*no such thing"):
        measure(["-c", "raise SystemExit('no such thing')"])


def test_a_cold_cache_has_weights_and_no_features(tmp_path: Path) -> None:
    for name in ("weights", "features"):
        (tmp_path / "cache" / name).mkdir(parents=True)
        (tmp_path / "cache" / name / "file").touch()
    cold_cache(tmp_path / "cache", tmp_path / "cold")
    assert [path.name for path in (tmp_path / "cold").iterdir()] == ["weights"]
    assert (tmp_path / "cold" / "weights" / "file").is_file()


def test_photographs_come_from_a_folder_or_an_archive(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "top" / "set" / label).mkdir(parents=True)
        (tmp_path / "top" / "set" / label / "1.png").touch()
    archive = Path(shutil.make_archive(str(tmp_path / "photographs"), "zip", tmp_path / "top"))
    found = photographs_folder(archive, tmp_path / "scratch")
    assert sorted(path.name for path in found.iterdir()) == ["a", "b"]
    assert photographs_folder(tmp_path / "top" / "set", tmp_path) == (tmp_path / "top" / "set").resolve()
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="DATA="):
        photographs_folder(tmp_path / "empty", tmp_path)
