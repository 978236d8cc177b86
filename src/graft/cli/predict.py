"""`graft predict`: a trained model over files, folders and archives, to the terminal or into a table."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli.options import JsonOption, LogOption, ModelOption, place_to_write
from graft.cli.output import messages_aside, say, table_of
from graft.core.environment import configure
from graft.core.errors import EXIT_FAILURE, GraftError
from graft.core.progress import console, progress_bar
from graft.core.project import find_project
from graft.core.wording import counted

if TYPE_CHECKING:
    from graft.bundle.model import ImageClassifier
    from graft.core.project import Project
    from graft.deployment.monitor.watch_logged import Watcher
    from graft.deployment.predict.inputs import Photograph, PhotographSource, Wanted
    from graft.deployment.predict.predict_photographs import PredictedBatch
    from graft.deployment.predict.prediction_tables import Sets
    from graft.deployment.predict.results import Run
    from graft.registry.resolve import ResolvedModel

    Ask = Callable[[Iterable[Photograph]], Iterator[PredictedBatch]]

# Rows that a terminal is given to read; a file takes all.
SHOWN = 100


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Image files, folders (at any depth), archives (.zip, .tar), or a pattern in quotes.",
            show_default=False,
        ),
    ],
    model: ModelOption = None,
    top: Annotated[
        int, typer.Option(metavar="N", help="Classes to show of each photograph on the terminal.", min=1)
    ] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where to write all answers: .parquet, .csv, .json or .jsonl. A run that was stopped carries on.",
            callback=place_to_write,
        ),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace FILE where there is one.")] = False,
    sets: Annotated[
        float | None,
        typer.Option(
            metavar="COVERAGE",
            help="Also the set of labels that holds the right one in so large a share of known images, such as 0.9.",
            show_default=False,
        ),
    ] = None,
    explain: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write a picture of where the model looked, of each photograph, into a folder that is new.",
            show_default=False,
            callback=place_to_write,
        ),
    ] = None,
    log: LogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Label photographs with the champion, or any other trained model.

    --model imagenet[:NAME[:FILE]] is a network of keras.applications as it is, by default ResNet50: ImageNet's 1000
    classes, no training; FILE holds other weights of it, head included.

    Where decide.unknown is set in params.yaml, an image of none of the classes is answered `unknown`.

    Images that cannot be read are reported and stop nothing; the exit code is 1 only where none could be read.
    """
    from graft.core.cluster import is_for_cluster, use_compute
    from graft.core.params import load_params
    from graft.deployment.predict.imagenet import imagenet_model, is_imagenet
    from graft.deployment.predict.inputs import find_photographs
    from graft.deployment.predict.predict_on_cluster import predict_on_cluster
    from graft.deployment.predict.predict_photographs import predict_photographs
    from graft.deployment.predict.results import Run
    from graft.networks.engines.open_classifier import open_classifier
    from graft.registry.resolve import resolve_model, wanted_decisions

    if sets is not None and not 0 < sets < 1:
        raise GraftError(f"--sets is {sets:g}", "Name a share above 0 and below 1, such as 0.9")
    if top > 1 and (as_json or out is not None):
        raise GraftError("--top is for the terminal", "Leave it out: files and --json hold every class")
    if as_json and out is not None:
        raise GraftError("--json prints what --out writes", "Leave one out, or name an --out that ends in .json")
    project = find_project()
    configure(project)
    if project.params_file.is_file():
        use_compute(load_params(project.params_file).compute)
    if out is not None:
        _require_writable(out, replace)
    if explain is not None and explain.exists():
        raise GraftError(f"{explain} is there already", "Name a new folder for --explain")
    with TemporaryDirectory() as folder:
        file = Path(folder, "answers.json") if as_json else out
        with messages_aside(as_json):
            photographs = find_photographs(paths)
            with console.status("Looking for photographs"):
                total = sum(1 for some in photographs for _ in some.names())
            with console.status("Loading the model"):
                wanted = None
                if model is not None and is_imagenet(model):
                    resolved = imagenet_model(project, model)
                    log = log or False  # other classes than the project's
                else:
                    resolved = resolve_model(project, model)
                    wanted = wanted_decisions(project, resolved)
                classifier = open_classifier(resolved.bundle, total, wanted)
            find_sets = _sets(classifier, sets)
            say(f"{resolved}: {len(classifier.classes)} classes")
            with _watching(project, resolved, classifier, log) as watcher:
                ask: Ask = partial(predict_photographs, classifier)
                if is_for_cluster(total) and _can_be_sent(photographs, watcher):
                    ask = partial(predict_on_cluster, resolved.bundle, total, wanted)
                if file is None:
                    counts = _show(classifier, ask, photographs, total, watcher, top, find_sets)
                else:
                    arguments = tuple(os.path.abspath(path) for path in paths)  # noqa: PTH100
                    run = Run(resolved.digest, arguments, json.dumps(classifier.decided))
                    counts = _write(classifier, ask, photographs, total, run, file, replace, watcher, find_sets)
            if explain is not None:
                _explain(classifier, resolved.bundle, photographs, total, explain)
            none_read = not set(counts) - {""}
            _print_summary(counts, out)
        if file and as_json:
            with file.open(encoding="utf-8") as document:
                shutil.copyfileobj(document, sys.stdout)
    if none_read:
        raise typer.Exit(EXIT_FAILURE)


def _sets(classifier: ImageClassifier, coverage: float | None) -> Sets | None:
    """Return what finds the sets of labels with a coverage, where one is wanted."""
    from graft.bundle.decisions import label_sets

    if coverage is None:
        return None
    if classifier.known is None:
        raise GraftError(
            "The model has no predictions for images that it was not fitted to, from which sets follow",
            "Train it again: graft run",
        )
    return partial(label_sets, classifier.known, coverage=coverage)


def _explain(
    classifier: ImageClassifier, bundle: Path, photographs: list[PhotographSource], total: int, folder: Path
) -> None:
    from graft.deployment.predict.explain_photographs import explain_photographs
    from graft.deployment.predict.inputs import all_of_them

    stream = (photograph for some in photographs for photograph in some.read(all_of_them))
    with progress_bar("Heat maps", total) as advance:
        written = explain_photographs(classifier, bundle, stream, folder, advance)
    say(f"{written:,} pictures of where the model looked: {folder}")


def _require_writable(out: Path, replace: bool) -> None:
    from graft.deployment.predict.prediction_tables import require_known_form

    require_known_form(out)
    if out.exists() and not replace:
        raise GraftError(f"{out} is there already", "Name another --out, or add --replace")
    if not out.parent.is_dir():
        raise GraftError(f"There is no folder {out.parent} to write {out.name} in", "Make it, or name another")


@contextmanager
def _watching(
    project: Project, model: ResolvedModel, classifier: ImageClassifier, wanted: bool | None
) -> Iterator[Watcher | None]:
    """Yield what logs the predictions, where that is wanted here or in params.yaml; print at the end what was lost."""
    from graft.core.params import load_params

    params = load_params(project.params_file) if wanted is not False else None
    if params is None or not (params.monitor.log.enabled if wanted is None else wanted):
        yield None
        return
    settings = params.monitor.log
    from graft.deployment.monitor.prediction_log import PredictionLog
    from graft.deployment.monitor.watch_logged import Watcher

    embedder = None
    if settings.keep_embeddings:
        from graft.networks.features.embedder import Embedder

        embedder = Embedder(project, params.train)
    with PredictionLog(project.prediction_log, settings) as log:
        watcher = Watcher(log, str(model), model.digest, classifier.classes, classifier.max_pixels, embedder)
        try:
            yield watcher
        finally:
            if watcher.lost:
                words = f"{watcher.lost:,} predictions are not in the log: {watcher.problem}"
                say(words, style="red")


def _can_be_sent(photographs: list[PhotographSource], watcher: Watcher | None) -> bool:
    """Return whether the nodes of a cluster can read and answer for the photographs; print why they cannot."""
    from graft.deployment.predict.inputs import PhotographFiles

    if watcher is None and all(isinstance(some, PhotographFiles) for some in photographs):
        return True
    what = "archives are read from front to back" if watcher is None else "predictions are logged where they are made"
    say(f"Predicted here, not on Ray: {what}")
    return False


def _write(
    classifier: ImageClassifier,
    ask: Ask,
    photographs: list[PhotographSource],
    total: int,
    run: Run,
    out: Path,
    replace: bool,
    watcher: Watcher | None,
    sets: Sets | None,
) -> Counter[str]:
    from graft.deployment.predict.results import PartialResults

    with PartialResults(out, run, classifier.classes, sets) as results:
        _require_writable(out, replace)  # again: another process may have just finished it
        if len(results):
            console.print(f"{len(results):,} of {total:,} are in {results.path} already", markup=False)
        for some in _predict(ask, photographs, total - len(results), results.wants, watcher):
            results.add(some)
        with console.status(f"Writing {out}"):
            return results.finish()


def _show(
    classifier: ImageClassifier,
    ask: Ask,
    photographs: list[PhotographSource],
    total: int,
    watcher: Watcher | None,
    top: int,
    sets: Sets | None,
) -> Counter[str]:
    import numpy as np
    from rich.markup import escape

    from graft.bundle.decisions import UNKNOWN

    table = table_of("~photograph", "label", ">", *(["~one of"] if sets else []))
    counts: Counter[str] = Counter()
    for some in _predict(ask, photographs, total, None, watcher):
        answers = some.answered(classifier.classes)
        among = sets(some.probabilities) if sets else np.zeros((len(some.names), 0), bool)
        each = zip(some.names, some.problems, some.labels, answers, some.probabilities, among, strict=True)
        for name, problem, label, probability, row, members in each:
            counts[label] += 1
            if counts.total() > SHOWN:
                continue
            if problem:
                table.add_row(escape(name), f"[red]not read: {escape(problem)}[/]", "")
                continue
            belong = [", ".join(escape(classifier.classes[index]) for index in np.flatnonzero(members))] * bool(sets)
            if label == UNKNOWN:
                table.add_row(escape(name), f"[yellow]{UNKNOWN}[/]", "", *belong)
            else:
                table.add_row(escape(name), escape(label), f"{probability:.2%}", *belong)
            others = [classifier.classes[index] for index in (-row).argsort(kind="stable")]
            if label in others:
                others.remove(label)
            for other in others[: top - 1]:
                table.add_row("", escape(other), f"{row[classifier.classes.index(other)]:.2%}")
    console.print(table)
    if counts.total() > SHOWN:
        console.print(f"and {counts.total() - SHOWN:,} more, which --out FILE writes", soft_wrap=True)
    return counts


def _predict(
    ask: Ask, photographs: list[PhotographSource], count: int, wanted: Wanted | None, watcher: Watcher | None
) -> Iterator[PredictedBatch]:
    from graft.deployment.predict.inputs import all_of_them

    stream = (photograph for some in photographs for photograph in some.read(wanted or all_of_them))
    with progress_bar("Photographs", max(0, count)) as advance:
        for some in ask(watcher.watch(stream) if watcher else stream):
            advance(len(some.names))
            if watcher is not None:
                watcher.log(some)
            yield some


def _print_summary(counts: Counter[str], out: Path | None) -> None:
    from rich.markup import escape

    broken = counts.pop("", 0)
    labels = ", ".join(f"{escape(label)} {count:,}" for label, count in counts.most_common(10))
    rest = len(counts) - 10
    more = f" and {rest} more classes" if rest > 0 else ""
    where = f" in {out}" if out else ""
    console.print(f"{counted(counts.total(), 'photograph')}{escape(where)}: {labels or 'none'}{more}", soft_wrap=True)
    if broken:
        console.print(f"[red]{broken:,} could not be read[/]", soft_wrap=True)
