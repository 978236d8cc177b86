"""Experiment 1, frozen MobileNetV2: graft in one process from the first import to the test accuracy, and the article.

With the functions that the stages call, in their order, and without DVC, Prefect and MLflow; validation, which the
article knows nothing of, is left out, and images are read once to be named by their hashes; tables and pictures of the
answers are left out too. The head is the article's (batch 64, dropout 0.5, Adam). Its five epochs leave the validation
loss falling, and over stored features an epoch costs hundredths of a second: thirty. The second time a setting of the
head has changed.

    python -m benchmarks.experiment FOLDER
"""

import argparse
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import cold_cache, measure
from benchmarks.table import Row
from graft.core.environment import configure
from graft.core.project import Project

PUBLISHED_IMAGES, VALIDATION, TEST = 2892, 600, 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path, required=True, help="where everything is written")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--image-size", type=int, default=224)
    arguments = parser.parse_args()
    print(json.dumps(run(arguments)))


def rows(folder: Path, cache: Path, hub: str | None, weights: str) -> list[Row]:
    """Measure both sides, each run in a process of its own."""
    peer = measure(["-m", "benchmarks.article", str(folder), "--weights", weights, *(["--hub", hub] if hub else [])])
    with tempfile.TemporaryDirectory() as place:
        cold_cache(cache, Path(place) / ".graft" / "cache")
        command = ["-m", "benchmarks.experiment", str(folder), "--home", place, "--weights", weights]
        cold = measure(command, GRAFT_CACHE="")
        warm = measure([*command, "--dropout", "0.4"], GRAFT_CACHE="")
    against = "the article's script" + ("" if hub else ", Keras' MobileNetV2 in the place of the Hub's")
    theirs = f"{peer.seconds:.1f} s ({peer.cpu_seconds:.0f} s CPU)"
    what = f"experiment 1, {cold.answer['images']:,} images"
    results = [
        Row.at_least(
            f"{what}, cold store",
            f"{cold.seconds:.1f} s ({cold.cpu_seconds:.0f} s CPU)",
            against,
            theirs,
            peer.seconds / cold.seconds,
            10,
        ),
        Row.at_most(
            "its peak memory",
            f"{cold.peak_mb:,.0f} MB",
            against,
            f"{peer.peak_mb:,.0f} MB",
            cold.peak_mb / peer.peak_mb,
            1,
        ),
        Row.at_least(
            "its test accuracy",
            f"{cold.answer['accuracy']:.2%}",
            against,
            f"{peer.answer['accuracy']:.2%}",
            cold.answer["accuracy"] / peer.answer["accuracy"],
            1,
        ),
        Row.at_least(
            "again with another head parameter",
            f"{warm.seconds:.1f} s ({warm.cpu_seconds:.0f} s CPU)",
            against,
            theirs,
            peer.seconds / warm.seconds,
            80,
        ),
        Row.at_most("the same by the clock", f"{warm.seconds:.1f} s", "8 s", "8.0 s", warm.seconds / 8, 1),
    ]
    for name, measured in (("cold store", cold), ("another head parameter", warm)):
        print(f"{name}: {spans(measured.answer['seconds'])}", flush=True)
    return results


def spans(seconds: dict[str, float]) -> str:
    """Return where the time went, longest first."""
    return ", ".join(f"{name} {value:.1f} s" for name, value in sorted(seconds.items(), key=lambda s: -s[1]))


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run graft's side; return accuracy, number of images and seconds of each part."""
    project = Project(arguments.home.resolve())
    configure(project)
    import pandas as pd

    from graft.core.params.load_params import parse_params
    from graft.core.timing import StageClock
    from graft.data.scan.manifest import read_manifest
    from graft.data.splits.image_groups import COLUMNS, write_split_groups
    from graft.data.splits.split_images import make_split
    from graft.data.splits.split_tables import write_split_tables

    clock = StageClock("bench")
    with clock.span("hashes"):
        if not project.data.exists():
            project.data.symlink_to(arguments.folder.resolve(), target_is_directory=True)
        count = write_hashes(project)
    with clock.span("split"):
        params = parse_params(settings(arguments, count))
        division = make_split(read_manifest(project.manifest), params.split)
        write_split_tables(division.tables, division.summary, project.artifacts("split"))
        write_split_groups(division.tables, pd.DataFrame(columns=COLUMNS), project)
    with clock.span("import TensorFlow"):
        from graft.networks.engines.tensorflow_import import import_tensorflow

        import_tensorflow()
        from graft.evaluation.evaluate import TestImages, evaluate_bundle
        from graft.networks.features.feature_store import FeatureStore
        from graft.training.train import train_strategy
    train_strategy(project, params.train, "frozen", clock)
    made, images = project.strategy("frozen"), TestImages(project)
    store = FeatureStore(project.features, params.train.store.limit_bytes)
    found = evaluate_bundle("frozen", made, images, params.evaluate.batch_size, clock, store)
    return {"images": count, **found.evaluation.headline(), "seconds": clock.by_name()}


def settings(arguments: argparse.Namespace, images: int) -> dict[str, Any]:
    """Return params.yaml of the recipe, with the article's batches; sizes shrink with the number of images."""
    from ruamel.yaml import YAML

    from graft.core.recipes import read_recipe, with_recipe

    text = (Path(__file__).parents[1] / "params.yaml").read_text(encoding="utf-8")
    text = with_recipe(text, read_recipe("rock_paper_scissors_frozen"))
    raw: dict[str, Any] = YAML(typ="safe").load(text)
    if images < PUBLISHED_IMAGES:
        raw["split"] |= {"val_size": VALIDATION / PUBLISHED_IMAGES, "test_size": TEST / PUBLISHED_IMAGES}
    raw["train"] |= {"image_size": arguments.image_size, "validation": "split"}
    raw["train"]["backbone"]["weights"] = arguments.weights
    frozen = raw["train"]["strategies"]["frozen"]
    frozen |= {"epochs": arguments.epochs, "batch_size": 64, "head": {"dropout": arguments.dropout}}
    return raw


def write_hashes(project: Project) -> int:
    """Write a manifest of where each image lies, what it shows and which bytes it is; return how many there are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from graft.data.folder.layout import image_files, read_layout
    from graft.data.scan.manifest import schema

    layout = read_layout(project.data)
    found: dict[str, list[Any]] = {name: [] for name in ("path", "label", "sha256")}
    for file in image_files(layout):
        path = project.data / file.name
        found["path"].append(file.name)
        found["label"].append(layout.place(path)[0])
        found["sha256"].append(hashlib.sha256(path.read_bytes()).hexdigest())
    count = len(found["path"])
    kind = schema(sorted(set(found["label"])))
    rest = {
        field.name: pa.nulls(count, field.type).fill_null(b"" if pa.types.is_binary(field.type) else 0)
        if not pa.types.is_string(field.type)
        else pa.array([""] * count)
        for field in kind
        if field.name not in found
    }
    project.manifest.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({**found, **rest}, schema=kind), project.manifest)
    return count


if __name__ == "__main__":
    main()
