"""The first run of photographs that nobody here tuned for: `graft init`, `graft data import X`, `graft run`, no edit.

A row is a data set, a split and a seed. Each runs in a new project, by the commands that a person types; only split and
seeds are set where a row asks for them. Test accuracy is that of the model that `graft run` registers; beside it stands
the best of all that it trained, which says what the choice cost.

    python -m benchmarks.first_run --rows ants_and_bees hand_signs --quality good --seeds 1 2 3
    python -m benchmarks.first_run --data folder-or-archive --quality fast
    python -m benchmarks.first_run --write runs.jsonl --table docs/first_run.md

With --table, the file's table is made anew from all runs that --write has collected.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pandas as pd
import psutil
from ruamel.yaml import YAML

from graft.core.paired import difference
from graft.core.project import find_project

SECONDS_BETWEEN_LOOKS = 2.0  # a look goes through all processes of the machine


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        source: a name in graft's catalogue, or an archive below --archives.
        split: settings of section split, as params.yaml has them.
        rename: the folder of an archive that is taken for another, such as its val as test.
        folds: runs, each with another fold as test; 1 for one split.
        train_images: so many of the training images, drawn with the seed; 0 for all.
        published: what the row is held against.
    """

    source: str
    published: str
    split: dict[str, Any] = field(default_factory=dict)
    rename: tuple[str, str] = ("", "")
    folds: int = 1
    train_images: int = 0


ROWS = {
    "ants_and_bees": Row("hymenoptera.zip", "95.5 %", rename=("val", "test")),
    "cats_and_dogs": Row("dogs_vs_cats.zip", "99.0 %", {"method": "k_fold"}, folds=5),
    "hand_signs": Row("sign_language_digits.zip", "99.5 %"),
    "rock_paper_scissors": Row("rock_paper_scissors.zip", "98.5 %"),
    "solar_cells": Row("solar_cells", "87.0 %"),
    "brain_scans": Row(
        "brain_mri.zip", "with its interval", {"method": "k_fold", "group_by": "near_duplicates"}, folds=5
    ),
    "traffic_lights": Row("traffic_lights", "99.3 %"),
    "cifar10": Row("cifar10", "88 %", train_images=5000),
    "mnist": Row("mnist", "98.5 %", train_images=5000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="*", choices=ROWS, help="default: all, unless --data or --table is given")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="folders or archives of one's own")
    parser.add_argument("--archives", type=Path, help="folder with the archives that rows name")
    parser.add_argument("--quality", nargs="+", default=["good"], choices=["fast", "good", "best"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--folds", type=int, help="only the first so many folds of a row that has folds")
    parser.add_argument("--keep", type=Path, help="keep the projects in this folder")
    parser.add_argument("--write", type=Path, help="append each run to this file, a JSON object a line")
    parser.add_argument("--table", type=Path, help="make the table in this file from the runs in --write")
    arguments = parser.parse_args()
    others = arguments.data or arguments.table
    names = arguments.rows if arguments.rows is not None else [] if others else ROWS
    rows = {name: ROWS[name] for name in names}
    rows |= {path.stem: Row(str(path.resolve()), "") for path in arguments.data}
    for quality in arguments.quality:
        for name, row in rows.items():
            found = [
                one_run(name, row, quality, seed, fold, arguments)
                for seed in arguments.seeds
                for fold in range(min(row.folds, arguments.folds or row.folds))
            ]
            values = [100 * one["registered"] for one in found]
            print(
                f"{name}, {quality}: {statistics.mean(values):.2f} % ({min(values):.2f} to {max(values):.2f}), "
                f"{statistics.mean(one['seconds'] for one in found):.0f} s, at most "
                f"{max(one['peak_gb'] for one in found):.1f} GB; wanted {row.published or 'nothing'}",
                flush=True,
            )
    if arguments.table:
        write_table(arguments.table, arguments.write)


def write_table(path: Path, collected: Path) -> None:
    """Put a table of the collected runs between the marks of a page; a later run of the same stands for an earlier."""
    runs = {}
    for line in collected.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        runs[one["row"], one["quality"], one["seed"], one["fold"]] = one
    lines = ["| data | quality | wanted | test accuracy | runs | registered | each on test | seconds | peak |"]
    lines.append("|" + "---|" * 9)
    for name, quality in dict.fromkeys((name, quality) for name, quality, _, _ in runs):
        found = [one for key, one in runs.items() if key[:2] == (name, quality)]
        accuracies = [100 * one["registered"] for one in found]
        names = [one["strategy"] for one in found]
        registered = ", ".join(f"{strategy} {names.count(strategy)}x" for strategy in dict.fromkeys(names))
        tests = {key: [100 * one["test"][key] for one in found if key in one["test"]] for key in found[0]["test"]}
        others = ", ".join(f"{key} {statistics.mean(values):.1f}" for key, values in tests.items())
        wanted = ROWS[name].published if name in ROWS else ""
        lines.append(
            f"| {name.replace('_', ' ')} | {quality} | {wanted} | **{statistics.mean(accuracies):.2f} %** "
            f"({min(accuracies):.2f} to {max(accuracies):.2f}) | {len(found)} | {registered} | {others} | "
            f"{statistics.mean(one['seconds'] for one in found):.0f} | "
            f"{max(one['peak_gb'] for one in found):.1f} GB |"
        )
    several = [one for one in runs.values() if len(one["test"]) > 1]
    behind = [one for one in several if one["registered"] < max(one["test"].values())]
    said = f"In {len(behind)} of the {len(several)} runs with several strategies another was ahead on test"
    errors = [one["ahead"] for one in behind if "ahead" in one]
    lines += ["", said + (f", by {max(errors):.1f} standard errors at most." if errors else ".")]
    before, rest = path.read_text(encoding="utf-8").split("<!-- measured: begin -->")
    after = rest.split("<!-- measured: end -->")[1]
    table = "\n".join(lines)
    path.write_text(f"{before}<!-- measured: begin -->\n\n{table}\n\n<!-- measured: end -->{after}", encoding="utf-8")


def one_run(name: str, row: Row, quality: str, seed: int, fold: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one row in a project of its own and return its figures."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-{quality}-{seed}-{fold}-", dir=arguments.keep))
    try:
        environment = {**os.environ, "GRAFT_CACHE": str(find_project().cache)}
        project = folder / name
        graft(["init", str(project)], folder, environment)
        source = source_of(row, arguments.archives, folder)
        if row.train_images:
            source = part_of(source, row.train_images, seed, folder, environment)
        graft(fetching(source), project, environment)
        change_params(project / "params.yaml", row, seed, fold)
        start = time.monotonic()
        peak = graft(["run", "--quality", quality], project, environment)
        seconds = time.monotonic() - start
        registered = json.loads((project / "artifacts/register/registered.json").read_text())
        tests = {
            path.stem: json.loads(path.read_text())["test"]["accuracy"]
            for path in sorted((project / "artifacts/evaluate/metrics").glob("*.json"))
        }
        strategy = registered["strategy"]
        result = {
            "row": name,
            "quality": quality,
            "seed": seed,
            "fold": fold,
            "strategy": strategy,
            "registered": tests[strategy],
            "test": tests,
            "ahead": ahead(project / "artifacts/evaluate/predictions", strategy),
            "chosen": json.loads((project / "artifacts/choose/choice.json").read_text()),
            "seconds": round(seconds, 1),
            "peak_gb": round(peak / 1e9, 2),
        }
    finally:
        if arguments.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({key: value for key, value in result.items() if key != "chosen"}), flush=True)
    if arguments.write:
        with arguments.write.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(result) + "\n")
    return result


def ahead(folder: Path, registered: str) -> float:
    """Return how far another strategy is ahead of the registered one on test, in standard errors of the paired
    difference in accuracy; 0 where none is.
    """
    wrong = {}
    for path in folder.glob("*.csv"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        wrong[path.stem] = (table["label"] != table["predicted"]).to_numpy(float)
    alone = np.arange(len(wrong[registered]))
    gains = [difference(losses, wrong[registered], alone) for losses in wrong.values()]
    return round(max(gain.gain / (gain.error or np.inf) for gain in gains), 2)


def source_of(row: Row, archives: Path | None, folder: Path) -> str:
    """Return what `graft data import` is given: a name, or a path."""
    path = Path(row.source)
    if not path.suffix and not path.exists():
        return row.source
    if not path.is_absolute():
        if archives is None:
            sys.exit(f"{row.source} is no data set of the catalogue: say where it lies with --archives")
        path = archives.resolve() / row.source
    old, new = row.rename
    if not old:
        return str(path)
    unpacked = folder / "source"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(unpacked)
    for found in sorted(unpacked.rglob(old)):
        if found.is_dir():
            found.rename(found.with_name(new))
            break
    return str(unpacked)


def fetching(source: str) -> list[str]:
    """Return the command that fills data/ from a name in the catalogue, or from a path."""
    return ["data", "import" if Path(source).exists() else "use", source]


def part_of(source: str, count: int, seed: int, folder: Path, environment: dict[str, str]) -> str:
    """Return a folder with ``count`` of the training images of a source, and with all of its test images."""
    whole = folder / "whole"
    graft(["init", str(whole)], folder, environment)
    graft(fetching(source), whole, environment)
    train = sorted(path for path in (whole / "data/train").rglob("*") if path.is_file())
    for path in random.Random(seed).sample(train, len(train) - count):
        path.unlink()
    return str(whole / "data")


def change_params(path: Path, row: Row, seed: int, fold: int) -> None:
    yaml = YAML()
    params = yaml.load(path)
    params["split"] |= {**row.split, "seed": seed, "fold": fold if row.folds > 1 else 0}
    params["train"]["seed"] = seed
    yaml.dump(params, path)


def graft(words: list[str], folder: Path, environment: dict[str, str]) -> int:
    """Run a command of graft and return the most memory that it and its processes held at a time, in bytes."""
    command = [sys.executable, "-c", "from graft.cli.main import main; main()", *words]
    log = folder / "graft.log"
    with log.open("a", encoding="utf-8") as stream:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=stream, stderr=stream)
        ended, peak = Event(), [0]
        watcher = Thread(target=watch, args=(process.pid, ended, peak), daemon=True)
        watcher.start()
        code = process.wait()
        ended.set()
        watcher.join()
    if code != 0:
        sys.exit(f"graft {' '.join(words)} ended with {code}:\n{log.read_text(encoding='utf-8')[-3000:]}")
    return peak[0]


def watch(pid: int, ended: Event, peak: list[int]) -> None:
    """Record the memory of a process and all below it; pages that they share count once for each."""
    while not ended.wait(SECONDS_BETWEEN_LOOKS):
        try:
            parent = psutil.Process(pid)
            held = 0
            for process in [parent, *parent.children(recursive=True)]:
                try:
                    held += process.memory_full_info().pss
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
            peak[0] = max(peak[0], held)
        except psutil.NoSuchProcess:
            return


if __name__ == "__main__":
    main()
