"""What changes when one machine is not enough: Ray on one node against none, and files against shards for DVC.

    python -m benchmarks.scaling ray --images 4000      # a scan, and features, by each engine
    python -m benchmarks.scaling size --images 100000   # seconds, memory and disk of each step
    python -m benchmarks.scaling shards --files 10000 100000

Images are generated (JPEGs of 64 pixels, all different). `ray` starts clusters of its own, of as many nodes as
--nodes says and --cpus each, on this machine; each engine's work runs in a process of its own, in turns, and ratios of
one run compare. `size` runs each step in a process of its own. `shards` adds a folder to a DVC repository of its own,
adds it again with nothing new, and checks it out into an empty folder: once as files, once as tar files of 1,000
images.
"""

import argparse
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil

from benchmarks.machine import measure
from benchmarks.scan import generate
from graft.core.project import Project
from graft.core.timing import StageClock

SHARD = 1000
SIDE = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    of_ray = parts.add_parser("ray")
    of_ray.add_argument("--images", type=int, default=4000)
    of_ray.add_argument("--nodes", nargs="+", type=int, default=[1, 2])
    of_ray.add_argument("--cpus", type=int, default=1, help="of each node")
    of_size = parts.add_parser("size")
    of_size.add_argument("--images", type=int, default=100_000)
    of_size.add_argument("--side", type=int, default=32, help="of what MobileNetV2 is given, in pixels")
    of_shards = parts.add_parser("shards")
    of_shards.add_argument("--files", nargs="+", type=int, default=[10_000, 100_000])
    of_work = parts.add_parser("work")
    of_work.add_argument("data", type=Path)
    of_work.add_argument("project", type=Path)
    of_work.add_argument("side", type=int)
    of_work.add_argument("steps", nargs="+", choices=STEPS)
    arguments = parser.parse_args()
    if arguments.part == "work":
        print(json.dumps(work(arguments.data, arguments.project, arguments.side, arguments.steps)))
    elif arguments.part == "size":
        measure_size(arguments.images, arguments.side)
    elif arguments.part == "ray":
        compare_engines(arguments.images, arguments.nodes, arguments.cpus)
    else:
        for files in arguments.files:
            compare_units(files)


def work(data: Path, root: Path, side: int, steps: list[str]) -> dict[str, float]:
    """Run steps on a folder, with the engine that the environment names; return the seconds of each."""
    project, seconds = Project(root), {}
    for name in steps:
        prepared = STEPS[name](data, project, side)
        started = time.perf_counter()
        prepared()
        seconds[name] = time.perf_counter() - started
    return seconds


def _scan(data: Path, project: Project, _: int) -> Callable[[], object]:
    from graft.core.params.models import ValidateParams
    from graft.data.folder.layout import read_layout
    from graft.data.scan.scan_images import scan

    return lambda: scan(read_layout(data), ValidateParams(), project.manifest, project.scan_memory)


def _near_duplicates(_: Path, project: Project, __: int) -> Callable[[], object]:
    from graft.core.params.models import ValidateParams
    from graft.data.validate_stage import group_near_duplicates

    return lambda: group_near_duplicates(project, ValidateParams(), StageClock("validate"))


def _split(_: Path, project: Project, __: int) -> Callable[[], object]:
    from graft.core.params.models import SplitParams
    from graft.data.scan.manifest import FOR_SPLIT, read_manifest
    from graft.data.scan.near_duplicates import read_near_duplicates
    from graft.data.splits.split_images import make_split
    from graft.data.splits.split_memory import read_memory, write_memory
    from graft.data.splits.split_tables import write_split_tables

    def split() -> None:
        manifest = read_manifest(project.manifest, columns=FOR_SPLIT)
        division = make_split(
            manifest, SplitParams(), read_memory(project), read_near_duplicates(project.near_duplicates)
        )
        write_split_tables(division.tables, division.summary, project.artifacts("split"))
        write_memory(division.memory, project)

    return split


def _features(data: Path, project: Project, side: int) -> Callable[[], object]:
    from graft.networks.engines.tensorflow_import import import_tensorflow

    import_tensorflow()
    import pyarrow.parquet as pq
    from pydantic import TypeAdapter

    from graft.core.params.backbone_params import BackboneParams
    from graft.core.params.train_params import StoreParams
    from graft.networks.decode_images import Photographs
    from graft.networks.features.feature_store import FeatureStore
    from graft.networks.features.frozen_backbone import frozen_backbone

    table = pq.read_table(project.manifest, columns=["path", "sha256"])
    images = Photographs(data, table["path"].to_pylist(), table["sha256"].to_pylist(), side)
    params: BackboneParams = TypeAdapter(BackboneParams).validate_python(
        {"source": "keras", "name": "MobileNetV2", "weights": "imagenet"}
    )
    store = FeatureStore(project.root / "features", StoreParams().limit_bytes)
    backbone = frozen_backbone(params, side, project.cache, store)
    features = np.lib.format.open_memmap(project.root / "out.npy", "w+", np.float32, (len(images), 1280))
    return lambda: backbone.features(images, "features", out=features)


STEPS = {"scan": _scan, "near-duplicates": _near_duplicates, "split": _split, "features": _features}


def measure_size(images: int, side: int) -> None:
    """Print what each step costs for so many images: seconds, CPU seconds, peak memory, and what it leaves on disk."""
    print(f"{images:,} images {'step':>16} {'s':>8} {'CPU s':>8} {'ms each':>8} {'peak MB':>8} {'disk MB':>8}")
    with tempfile.TemporaryDirectory(prefix="graft-scaling-") as folder:
        data, root = Path(folder) / "data", Path(folder) / "project"
        generate(data, 0, images, SIDE)
        root.mkdir()
        before = 0.0
        print(f"{'':>13} {'(images)':>16} {'':>8} {'':>8} {'':>8} {'':>8} {_megabytes(data):>8.0f}")
        for name in STEPS:
            found = measure(["-m", "benchmarks.scaling", "work", str(data), str(root), str(side), name])
            (root / "out.npy").unlink(missing_ok=True)
            seconds, disk = float(found.answer[name]), _megabytes(root)
            print(
                f"{'':>13} {name:>16} {seconds:>8.1f} {found.cpu_seconds:>8.1f} {1000 * seconds / images:>8.2f} "
                f"{found.peak_mb:>8.0f} {disk - before:>8.0f}",
                flush=True,
            )
            before = disk


def _megabytes(folder: Path) -> float:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*") if path.is_file()) / 1e6


def compare_engines(images: int, nodes: list[int], cpus: int) -> None:
    """Print the seconds of each engine's scan and features, and the CPU seconds of both with all imports and nodes.

    Beside each the ratio to that without Ray. A cluster's start is not in them, that of its workers is.
    """
    print(f"{'engine':20} {'scan s':>8} {'ratio':>6} {'features s':>11} {'ratio':>6} {'CPU s':>8} {'ratio':>6}")
    with tempfile.TemporaryDirectory(prefix="graft-scaling-") as folder:
        data = Path(folder) / "data"
        generate(data, 0, images, SIDE)
        local = _measured(data, Path(folder) / "local", {}, [])
        _print_engine("without Ray", local, local)
        for count in nodes:
            with cluster(count, cpus) as (environment, started):
                found = _measured(data, Path(folder) / f"ray{count}", environment, started)
            _print_engine(f"Ray, {count} of {cpus} CPUs", found, local)


def _measured(data: Path, root: Path, environment: dict[str, str], nodes: list[int]) -> dict[str, float]:
    root.mkdir()
    command = ["-m", "benchmarks.scaling", "work", str(data), str(root), "96", "scan", "features"]
    with _cpu_seconds(nodes) as of_nodes:
        found = measure(command, cwd=None, **environment)
    used = found.cpu_seconds + sum(of_nodes.values())
    return {**{name: float(value) for name, value in found.answer.items()}, "CPU": used}


@contextlib.contextmanager
def _cpu_seconds(nodes: list[int]) -> Iterator[dict[int, float]]:
    """Yield the CPU seconds of each process of nodes, looked at twice a second: Ray ends them with their driver."""
    used: dict[int, float] = {}
    ended = threading.Event()

    def look() -> None:
        first: dict[int, float] = {}
        while not ended.wait(0.5):
            for node in map(psutil.Process, nodes):
                for one in (node, *node.children(recursive=True)):
                    with contextlib.suppress(psutil.Error):
                        now = sum(one.cpu_times()[:2])
                        # What was there before has done other work; what came since was started for this.
                        used[one.pid] = now - first.setdefault(one.pid, 0 if first_look.is_set() else now)
            first_look.set()

    first_look = threading.Event()
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield used
    finally:
        ended.set()
        watcher.join()


def _print_engine(name: str, found: dict[str, float], local: dict[str, float]) -> None:
    cells = [f"{found[what]:>{width}.1f} {found[what] / local[what]:>6.2f}" for what, width in COLUMNS]
    print(f"{name:20} {' '.join(cells)}", flush=True)


COLUMNS = (("scan", 8), ("features", 11), ("CPU", 8))


@contextlib.contextmanager
def cluster(nodes: int, cpus: int) -> Iterator[tuple[dict[str, str], list[int]]]:
    """Yield the environment of drivers, and the processes, of a cluster of nodes on this machine, gone afterwards."""
    from graft.automation.prefect_server import free_port
    from graft.core.processes import end_tree

    program = str(Path(sys.executable).with_name("ray"))
    folder, port = Path(tempfile.mkdtemp(prefix="graft-ray-")), free_port()
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    of_nodes = {**os.environ, **token, "RAY_worker_niceness": "0"}  # Ray's workers else give way to all others
    started = []
    try:
        for number in range(nodes):
            where = [f"--address=127.0.0.1:{port}"]
            if number == 0:
                where = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}"]
            log = folder / f"log{number}"
            with log.open("wb") as output:
                command = [program, "start", *where, f"--num-cpus={cpus}", "--disable-usage-stats", "--block"]
                command += ["--object-store-memory=500000000"]
                started.append(subprocess.Popen(command, env=of_nodes, stdout=output, stderr=output))
            while "Ray runtime started" not in log.read_text(errors="replace"):
                if started[-1].poll() is not None:
                    raise RuntimeError(log.read_text(errors="replace")[-2000:])
                time.sleep(0.2)
        yield {**token, "GRAFT_RAY_ADDRESS": f"127.0.0.1:{port}"}, [process.pid for process in started]
    finally:
        for process in started:
            end_tree(process.pid)
        shutil.rmtree(folder, ignore_errors=True)


def compare_units(files: int) -> None:
    """Print what `dvc add`, a second one, and `dvc checkout` cost for images as files and as shards."""
    print(f"{files:,} images {'as':>8} {'files':>8} {'add s':>8} {'again s':>8} {'checkout s':>11} {'disk MB':>8}")
    found: dict[str, list[float]] = {}
    for unit in ("files", "shards"):
        with tempfile.TemporaryDirectory(prefix="graft-shards-") as folder:
            root = Path(folder)
            data = root / "data"
            generate(data, 0, files, SIDE)
            if unit == "shards":
                _pack(data)
            for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"]):
                subprocess.run(_program(command), cwd=root, check=True, capture_output=True)
            times = [_seconds(root, "add", "--quiet", "data") for _ in range(2)]
            shutil.rmtree(data)
            times.append(_seconds(root, "checkout", "--quiet"))
            count = sum(path.is_file() for path in data.rglob("*"))
            size = _megabytes(root)
            found[unit] = [*times, size]
            print(
                f"{'':>13} {unit:>9} {count:>8,} {times[0]:>8.1f} {times[1]:>8.1f} {times[2]:>11.1f} {size:>8.0f}",
                flush=True,
            )
    ratios = [one / other for one, other in zip(found["files"], found["shards"], strict=True)]
    print(f"{'':>13} {'ratio':>9} {'':>8} {ratios[0]:>8.1f} {ratios[1]:>8.1f} {ratios[2]:>11.1f} {ratios[3]:>8.1f}")


def _program(command: list[str]) -> list[str]:
    return [sys.executable, "-m", "dvc", *command[1:]] if command[0] == "dvc" else command


def _seconds(root: Path, *arguments: str) -> float:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(root / ".site")}
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, check=True, env=environment)
    return time.perf_counter() - started


def _pack(data: Path) -> None:
    """Put a folder's images into tar files of SHARD each, with the paths that they had."""
    paths = sorted(path for path in data.rglob("*") if path.is_file())
    packed = data.with_name("packed")
    packed.mkdir()
    for start in range(0, len(paths), SHARD):
        with tarfile.open(packed / f"{start // SHARD:06d}.tar", "w") as shard:
            for path in paths[start : start + SHARD]:
                shard.add(path, path.relative_to(data).as_posix())
    shutil.rmtree(data)
    packed.rename(data)


if __name__ == "__main__":
    main()
