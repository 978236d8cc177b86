"""What a retraining costs: the first one, one with 1 % new images, and one with nothing new.

`graft retrain` three times in a fresh copy of the project with one frozen strategy, each a process of its own with its
own Prefect server. Features that the store gained are counted, since this is what the network was run for.

    python -m benchmarks.retraining FOLDER
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.fresh_project import RUN, change_params, commit, fresh_copy
from benchmarks.machine import Measured, cold_cache, measure
from benchmarks.table import Row, as_text
from graft.bundle.images import SUFFIXES
from graft.core.project import Project, find_project

NEW_SHARE = 0.01
SETTINGS = {"train.run": ["frozen"], "retrain.source.settle_seconds": 0, "retrain.deliveries.on_bad": "stop"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="class folders, or train/ and test/ with class folders")
    home = find_project()
    print(as_text(rows(home, parser.parse_args().folder.resolve())))


def rows(home: Project, folder: Path) -> list[Row]:
    """Measure three runs over the photographs of ``folder``, with the settings and code of ``home``."""
    with tempfile.TemporaryDirectory(prefix="graft-retraining-") as place:
        project = Project(fresh_copy(home, Path(place) / "project"))
        change_params(project, SETTINGS)
        delivery = _divide(folder, Path(place) / "first", Path(place) / "delivery")
        cold_cache(home.cache, project.own_cache)
        _graft(project, "data", "import", str(Path(place) / "first"), "--name", "photographs")
        commit(project.root, "First images")
        first, first_features = _retrain(project)
        (project.root / "inbox").mkdir(exist_ok=True)
        delivery.rename(project.root / "inbox" / "one-percent")
        more, more_features = _retrain(project)
        nothing, _ = _retrain(project)
    images = sum(path.suffix.lower() in SUFFIXES for path in folder.rglob("*"))
    return [
        Row.at_most(
            f"features for 1 % new images, of {images:,}",
            f"{more_features:,}",
            "the first retraining's",
            f"{first_features:,}",
            100 * more_features / first_features,
            3,
            "%",
        ),
        Row.at_most(
            "retraining with 1 % new images",
            _took(more),
            "the first retraining",
            _took(first),
            more.seconds / first.seconds,
            0.35,
        ),
        Row.at_most(
            "retraining with nothing new",
            _took(nothing),
            "the first retraining",
            _took(first),
            nothing.seconds / first.seconds,
            0.5,
        ),
        Row.at_most("the same by the clock", _took(nothing), "the clock", "2 s", nothing.seconds / 2, 1),
    ]


def _retrain(project: Project) -> tuple[Measured, int]:
    """Return what one retraining took, and by how many rows the feature store grew."""
    before = _features(project)
    done = measure(["-c", RUN, "retrain"], cwd=project.root, GRAFT_CACHE="")
    return done, _features(project) - before


def _features(project: Project) -> int:
    from graft.networks.features.feature_store import FeatureStore
    from graft.networks.features.space_info import space_infos

    store = FeatureStore(project.root / ".graft" / "cache" / "features", 10**12)
    return sum(space.rows for space in space_infos(store))


def _divide(folder: Path, first: Path, delivery: Path) -> Path:
    """Copy all but every hundredth training image to ``first``, and these to ``delivery``."""
    train = folder / "train" if (folder / "train").is_dir() else folder
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    count = 0
    for path in files:
        target = first / path.relative_to(folder)
        if path.is_relative_to(train):
            count += 1
            if count % round(1 / NEW_SHARE) == 0:
                target = delivery / path.relative_to(train)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return delivery


def _took(measured: Measured) -> str:
    return f"{measured.seconds:.0f} s ({measured.cpu_seconds:.0f} s CPU)"


def _graft(project: Project, *arguments: str) -> None:
    subprocess.run([sys.executable, "-c", RUN, *arguments], cwd=project.root, check=True, capture_output=True)


if __name__ == "__main__":
    main()
