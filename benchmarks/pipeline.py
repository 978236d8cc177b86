"""The whole pipeline: `graft run` in a fresh copy of the project, against the compute that it holds.

The copy has the data and the downloaded weights, and nothing that was computed. Compute is what stages do with the
data, as their clocks have it (:mod:`graft.core.timing`): checking, dividing, decoding, training, predicting.

    python -m benchmarks.pipeline
"""

import re
import shutil
import tempfile
from pathlib import Path

from benchmarks.fresh_project import RUN, fresh_copy
from benchmarks.machine import cold_cache, measure
from benchmarks.table import Row, as_text
from graft.core.project import Project, find_project

TIME = re.compile(
    r"Time: (?P<wall>\d+) s, of which compute (?P<compute>\d+), imports (?P<imports>\d+), Prefect (?P<prefect>\d+), "
    r"MLflow (?P<mlflow>\d+), DVC (?P<dvc>\d+)"
)


def main() -> None:
    print(as_text(rows(find_project())))


def rows(home: Project, data: Path | None = None) -> list[Row]:
    """Run with the settings and code of ``home``, on ``data``, else on what is in its data/, else the default set."""
    source = data or home.data
    with tempfile.TemporaryDirectory(prefix="graft-pipeline-") as place:
        copy = fresh_copy(home, Path(place) / "project")
        if source.is_dir() and any(source.iterdir()):
            shutil.copytree(source.resolve(), copy / "data")
        cold_cache(home.cache, copy / ".graft" / "cache")
        done = measure(["-c", RUN, "run"], cwd=copy, GRAFT_CACHE="", COLUMNS="200")
        stages = _stages(copy)
    found = TIME.search(done.answer.get("text", ""))
    if not found:
        raise RuntimeError(f"`graft run` told no times:\n{done.answer.get('text', '')[-2000:]}")
    parts = {name: int(value) for name, value in found.groupdict().items()}
    rest = ", ".join(f"{name} {value}" for name, value in parts.items() if name not in ("wall", "compute"))
    print(f"{rest}; compute by stage: {stages}", flush=True)
    return [
        Row.at_most(
            f"graft run, everything anew ({rest})",
            f"{parts['wall']} s",
            "its compute",
            f"{parts['compute']} s",
            parts["wall"] / max(1, parts["compute"]),
            1.2,
        )
    ]


def _stages(copy: Path) -> str:
    """Return the seconds of compute of each stage, for people."""
    import json

    parts = []
    for path in sorted((copy / ".graft" / "cache" / "timings").glob("*.json")):
        spans = json.loads(path.read_text(encoding="utf-8"))["spans"]
        compute = sum(span["seconds"] for span in spans if span["kind"] == "compute")
        parts.append(f"{path.stem} {compute:.1f} s")
    return ", ".join(parts)


if __name__ == "__main__":
    main()
