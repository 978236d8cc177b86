"""Peak memory of extraction and head training, with ten times as many images.

Images are small and generated, all different; each run is a process of its own, from import to test accuracy, as
`benchmarks.experiment`. What a process holds grows with the images only by their names and labels.

    python -m benchmarks.memory --images 10000 100000
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.machine import Measured, measure
from benchmarks.scan import generate
from benchmarks.table import Row, as_text

# Smaller than photographs, because it is the number that matters: features are as large as of any other size.
SIDE, EPOCHS = 32, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs=2, type=int, default=[10_000, 100_000])
    arguments = parser.parse_args()
    print(as_text(rows(*arguments.images)))


def rows(few: int = 10_000, many: int = 100_000) -> list[Row]:
    """Measure the second against the first."""
    with tempfile.TemporaryDirectory(prefix="graft-memory-") as folder:
        root = Path(folder)
        generate(root / "data", 0, few, SIDE)
        first = _run(root, "few")
        generate(root / "data", few, many - few, SIDE)
        second = _run(root, "many")
    growth = 100 * (second.peak_mb / first.peak_mb - 1)
    return [
        Row.at_most(
            f"peak memory, {many:,} images (extraction in {second.answer['seconds']['features']:.0f} s)",
            f"{second.peak_mb:,.0f} MB",
            f"{few:,} images",
            f"{first.peak_mb:,.0f} MB",
            growth,
            20,
            "%",
        )
    ]


def _run(root: Path, name: str) -> Measured:
    sizes = ["--image-size", str(SIDE), "--epochs", str(EPOCHS), "--weights", "none"]
    command = ["-m", "benchmarks.experiment", str(root / "data"), "--home", str(root / name), *sizes]
    return measure(command, GRAFT_CACHE="")


if __name__ == "__main__":
    main()
