"""Scanning many images: the first scan, a second one with nothing new, and one with 1 % new files.

Files are generated in a temporary folder (JPEGs, all different); each scan runs in a process of its own, so
that its peak memory is its own. Ratios of one run compare; seconds depend on the machine, and on what
else it does: those of CPU less so.

    python -m benchmarks.scan --files 10000 100000
    python -m benchmarks.scan --files 2000 --side 1000
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLASSES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--side", type=int, default=64, help="pixels; small files make the overhead show")
    parser.add_argument("--scan", nargs=2, metavar=("DATA", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.scan:
        print(json.dumps(measure(*map(Path, arguments.scan))))
        return
    print(
        f"{'files':>8} {'scan':14} {'opened':>8} {'seconds':>8} {'of first':>9} {'CPU s':>7} {'of first':>9}"
        f" {'files/s':>8} {'peak MB':>8}"
    )
    for files in arguments.files:
        with tempfile.TemporaryDirectory(prefix="graft-scan-") as folder:
            compare(Path(folder), files, arguments.side)


def compare(folder: Path, files: int, side: int) -> None:
    """Print a line for each of the three scans of ``files`` generated images."""
    data = folder / "data"
    generate(data, 0, files, side)
    time.sleep(3)  # the scan's memory trusts no file that is younger than a tick of the coarsest clock
    first: dict[str, float] = {}
    for name in ("first", "nothing new", "1 % new"):
        if name == "1 % new":
            generate(data, files, files // 100, side)
        found = subprocess.run(
            [sys.executable, "-m", "benchmarks.scan", "--scan", str(data), str(folder)],
            check=True,
            capture_output=True,
            text=True,
        )
        result = json.loads(found.stdout.splitlines()[-1])
        first = first or result
        share, cpu_share = (f"{result[key] / first[key]:.1%}" for key in ("seconds", "cpu"))
        rate = result["images"] / result["seconds"]
        print(
            f"{files:8} {name:14} {result['opened']:8} {result['seconds']:8.1f} {share:>9} {result['cpu']:7.1f}"
            f" {cpu_share:>9} {rate:8.0f} {result['megabytes']:8.0f}",
            flush=True,
        )


def measure(data: Path, out: Path) -> dict[str, float]:
    """Scan in this process; return images, files opened, seconds, those of CPU, and the process's peak memory in MB."""
    from graft.core.params.models import ValidateParams
    from graft.data.folder.layout import read_layout
    from graft.data.scan.scan_images import scan

    started, cpu = time.perf_counter(), time.process_time()
    summary = scan(read_layout(data), ValidateParams(), out / "manifest.parquet", out / "scan.sqlite")
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "darwin":
        peak //= 1024  # bytes there, kB elsewhere
    return {
        "images": summary.images,
        "opened": summary.opened,
        "seconds": seconds,
        "cpu": cpu,
        "megabytes": peak / 1024,
    }


def generate(data: Path, start: int, count: int, side: int) -> None:
    """Write images ``start`` to ``start + count - 1`` into class folders: noise of low frequency, as JPEG."""
    import numpy as np
    from PIL import Image

    for number in range(start, start + count):
        random = np.random.default_rng(number)
        picture = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).resize((side, side), 2)
        folder = data / f"class-{number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=85)
        (folder / f"{number:07}.jpg").write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
