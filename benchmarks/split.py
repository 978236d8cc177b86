"""Splitting many images: seconds and memory of reading the manifest, dividing it, writing the tables, checking them.

Manifests are generated in a temporary folder, without pictures: ten classes, frames of films of 20, and one image
in ten nearly the same as another. Each split runs in a process of its own, so that its peak memory is its own.
What importing the libraries takes is measured apart; the rest is what grows with the images.

    python -m benchmarks.split --images 100000 300000 1000000
    python -m benchmarks.split --images 300000 --group-by near_duplicates --without-checks
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from graft.core.environment import MEMORY

CLASSES = 10
FRAMES = 20
PATTERN = "(.+)-[0-9]+"
BATCH = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", type=int, default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--group-by", nargs="+", default=["none", PATTERN, "near_duplicates"], help="as in params.yaml")
    parser.add_argument("--without-checks", action="store_true", help="leave out Great Expectations")
    parser.add_argument("--run", nargs=2, metavar=("FOLDER", "GROUP_BY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        folder, group_by = arguments.run
        print(json.dumps(measure(Path(folder), group_by, not arguments.without_checks)))
        return
    print(f"{'images':>9}  {'group_by':16} {'seconds':>8} {'imports MB':>11} {'peak MB':>8} {'bytes/image':>12}")
    for images in arguments.images:
        with tempfile.TemporaryDirectory(prefix="graft-split-") as folder:
            generate(Path(folder), images)
            for group_by in arguments.group_by:
                command = [sys.executable, "-m", "benchmarks.split", "--run", folder, group_by]
                command += ["--without-checks"] if arguments.without_checks else []
                found = subprocess.run(command, check=True, capture_output=True, text=True)
                result = json.loads(found.stdout.splitlines()[-1])
                grown = (result["peak"] - result["imports"]) * 1e6 / images
                print(
                    f"{images:9,}  {group_by:16} {result['seconds']:8.1f} {result['imports']:11.0f}"
                    f" {result['peak']:8.0f} {grown:12.0f}",
                    flush=True,
                )


def measure(folder: Path, group_by: str, checks: bool) -> dict[str, float]:
    """Split in this process; return seconds, and this process's peak memory in MB after the imports and at the end."""
    os.environ.update(MEMORY)
    import pandas as pd
    import pyarrow.parquet  # noqa: F401

    from graft.core.params.models import SplitParams
    from graft.data.checks.split_rules import check_split
    from graft.data.scan.manifest import FOR_SPLIT, read_manifest
    from graft.data.scan.near_duplicates import read_near_duplicates
    from graft.data.splits.split_images import make_split
    from graft.data.splits.split_tables import write_split_tables

    pd.read_csv(folder / "near_duplicates.csv", nrows=1)
    if checks:
        import great_expectations  # noqa: F401
    imports = peak_megabytes()
    started = time.perf_counter()
    params = SplitParams(group_by=group_by)
    manifest = read_manifest(folder / "manifest.parquet", columns=FOR_SPLIT)
    near_duplicates = read_near_duplicates(folder / "near_duplicates.csv")
    division = make_split(manifest, params, None, near_duplicates)
    write_split_tables(division.tables, division.summary, folder / "split")
    if checks:
        check_split(
            division.tables,
            division.summary,
            near_duplicates,
            len(manifest),
            params,
            folder / "data",
            folder / "verdict.json",
            folder / "docs",
        )
    return {"seconds": time.perf_counter() - started, "imports": imports, "peak": peak_megabytes()}


def peak_megabytes() -> float:
    """Return the most memory that this process ever held, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6  # bytes there, KiB elsewhere


def generate(folder: Path, images: int) -> None:
    """Write manifest.parquet and near_duplicates.csv, as stage validate leaves them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from graft.data.scan.manifest import schema

    columns = schema([f"class-{k}" for k in range(CLASSES)])
    with (
        pq.ParquetWriter(folder / "manifest.parquet", columns) as writer,
        (folder / "near_duplicates.csv").open("w", encoding="utf-8") as near,
    ):
        near.write("path,sha256,label,group\n")
        for start in range(0, images, BATCH):
            rows = list(_rows(range(start, min(start + BATCH, images)), images))
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=columns))
            for first, second in zip(rows[0::20], rows[1::20], strict=False):
                group = min(str(first["sha256"]), str(second["sha256"]))
                for row in (first, second):
                    near.write(f"{row['path']},{row['sha256']},{row['label']},{group}\n")


def _rows(numbers: range, images: int) -> Iterator[dict[str, object]]:
    for number in numbers:
        label = f"class-{number * CLASSES // images}"
        film, frame = divmod(number, FRAMES)
        yield {
            "path": f"{label}/film{film:06}-{frame:03}.jpg",
            "label": label,
            "split": "",
            "group": f"film{film:06}",
            "width": 640,
            "height": 480,
            "mode": "RGB",
            "format": "JPEG",
            "bytes": 50_000,
            "sha256": hashlib.sha256(b"%d" % number).hexdigest(),
            "left_out": "",
            "phash": "0" * 16,
            "thumbnail": bytes(192),
            "brightness": 0.5,
            "sharpness": 0.01,
        }


if __name__ == "__main__":
    main()
