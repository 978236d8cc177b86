"""Many writers at one MLflow server: each writes runs with figures, tags and a file, and reads all of them back."""

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

FIGURES = 20


@dataclass
class Written:
    """What was written and found again; ``problems`` has a line for whatever was not."""

    runs: int = 0
    files: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    problems: list[str] = field(default_factory=list)


def write_all(server: str, writers: int, until: threading.Event, at_least: int = 1, pause: float = 2.0) -> Written:
    """Has so many writers write runs, each after the other, until told; then reads everything back."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=server, registry_uri=server)
    experiment = client.create_experiment(f"writers {secrets.token_hex(4)}")
    started, written = time.monotonic(), Written()
    words: dict[str, str] = {}
    lock = threading.Lock()

    def write(number: int) -> None:
        mine = MlflowClient(tracking_uri=server, registry_uri=server)
        done = 0
        while done < at_least or not until.is_set():
            began, word = time.monotonic(), secrets.token_hex(16)
            run_id = _write_run(mine, experiment, word)
            with lock:
                words[run_id] = word
                written.slowest = max(written.slowest, time.monotonic() - began)
            done += 1
            time.sleep(pause)

    with ThreadPoolExecutor(writers) as pool:
        for number, future in enumerate([pool.submit(write, number) for number in range(writers)]):
            if error := future.exception():
                written.problems.append(f"writer {number}: {type(error).__name__}: {str(error)[:300]}")
        for found in pool.map(lambda item: _look(client, *item), words.items()):
            written.runs += 1
            written.files += not found
            written.problems += found
    written.seconds = time.monotonic() - started
    return written


def _write_run(client: Any, experiment: str, word: str) -> str:
    from mlflow.entities import Metric, RunTag

    run_id = client.create_run(experiment, tags={"word": word}).info.run_id
    now = int(time.time() * 1000)
    client.log_batch(
        run_id, [Metric("figure", step / 8, now, step) for step in range(FIGURES)], [], [RunTag("written", word)]
    )
    client.log_text(run_id, word * 100, "word.txt")
    client.set_terminated(run_id)
    return str(run_id)


def _look(client: Any, run_id: str, word: str) -> list[str]:
    from mlflow.artifacts import download_artifacts

    run = client.get_run(run_id)
    problems = []
    if (run.data.tags.get("written"), run.info.status) != (word, "FINISHED"):
        problems.append(f"run {run_id}: tags {run.data.tags}, {run.info.status}")
    if sorted(one.step for one in client.get_metric_history(run_id, "figure")) != list(range(FIGURES)):
        problems.append(f"run {run_id}: not all figures, or some of them twice")
    with TemporaryDirectory() as folder:
        path = download_artifacts(
            f"{run.info.artifact_uri}/word.txt", dst_path=folder, tracking_uri=client.tracking_uri
        )
        if Path(path).read_text() != word * 100:
            problems.append(f"run {run_id}: the file is another")
    return problems
