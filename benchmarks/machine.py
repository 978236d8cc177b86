"""What figures were measured on, and processes of their own to measure in: seconds, CPU seconds, peak memory."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

# Starts what is measured and writes what it took. A process begins with the peak memory of the one that started it, so
# that must be a small one.
LAUNCHER = """
import json, os, sys
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
with open(sys.argv[1], "w") as record:
    json.dump([os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss], record)
"""
VERSIONS = ("tensorflow", "keras", "openvino", "numpy", "pillow")


@dataclass(frozen=True)
class Measured:
    """A process that has ended.

    Attributes:
        seconds: from its start to its end.
        cpu_seconds: of it and what it started.
        peak_mb: the most memory that it held, in 1e6 bytes.
        answer: the JSON object in its last line.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float
    answer: dict[str, Any]


def describe_machine() -> dict[str, str]:
    """Return processor, cores, memory, system, versions, and how busy it was before this."""
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = {
        "CPU": f"{_cpu_model()}, {cores} cores",
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
    }
    for name in VERSIONS:
        facts[name] = metadata.version(name)
    facts["load before"] = f"{psutil.getloadavg()[0]:.1f}"
    return facts


def _cpu_model(info: Path = Path("/proc/cpuinfo")) -> str:
    """Return what the system calls the processor, with the vector units that matter here."""
    text = info.read_text(encoding="utf-8") if info.is_file() else ""
    name = re.search(r"model name\s*: (.+)", text)
    clock = re.search(r"cpu MHz\s*: (\d+)", text)
    units = [unit for unit in ("avx2", "avx512f", "amx_tile") if re.search(rf"\b{unit}\b", text)]
    parts = [name[1] if name else platform.processor() or "unknown"]
    parts += [f"{int(clock[1]) / 1000:.1f} GHz"] if clock else []
    return ", ".join([*parts, *units])


def measure(arguments: Sequence[str], cwd: Path | None = None, **environment: str) -> Measured:
    """Run ``python`` with these arguments in a process of its own.

    Raises:
        RuntimeError: it failed, with the end of what it wrote.
    """
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "output").open("w+b") as output:
        record = Path(folder) / "record"
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-S", "-c", LAUNCHER, str(record), sys.executable, *arguments],
            cwd=cwd,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            check=True,
        )
        seconds = time.perf_counter() - started
        code, cpu_seconds, peak = json.loads(record.read_text(encoding="utf-8"))
        output.seek(0)
        text = output.read().decode(errors="replace")
    if code:
        raise RuntimeError(f"{' '.join(arguments)} ended with {code}:\n{text[-2000:]}")
    answers = [line for line in text.splitlines() if line.startswith("{")]
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return Measured(seconds, cpu_seconds, peak * unit / 1e6, json.loads(answers[-1]) if answers else {"text": text})


def cold_cache(cache: Path, target: Path) -> None:
    """Make a cache with the weights and downloads of ``cache``, and nothing that was computed."""
    target.mkdir(parents=True)
    for name in ("weights", "downloads"):
        if (cache / name).is_dir():
            (target / name).symlink_to((cache / name).resolve(), target_is_directory=True)


def photographs_folder(data: Path, scratch: Path) -> Path:
    """Return the folder of class folders, or of train/ and test/ with these: ``data`` itself, or what an archive holds.

    Raises:
        FileNotFoundError: there is nothing at ``data``, or it is an empty folder.
    """
    if data.is_file():
        shutil.unpack_archive(data, scratch)
        data = scratch
        while len(entries := [path for path in data.iterdir() if path.is_dir()]) == 1:
            data = entries[0]
    if not data.is_dir() or not any(data.iterdir()):
        raise FileNotFoundError(f"There are no photographs in {data}: name a folder or an archive with DATA=")
    return data.resolve()
