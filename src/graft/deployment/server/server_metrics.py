"""Count for Prometheus.

Names follow Prometheus' conventions: base units, ``_total`` for counters
(https://prometheus.io/docs/practices/naming/).
"""

import os
from collections.abc import Sequence
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

# Names the folder in which the workers of one server count together; to be set before this is imported.
SHARED = "PROMETHEUS_MULTIPROC_DIR"
OfWorkers = Literal["livemax", "livesum"]  # how a gauge of several is one
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
LOG_OUTCOMES = ("written", "dropped", "failed")
PROBABILITIES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # a second line for each of them, that no query asks for
        registry = CollectorRegistry()
        if SHARED not in os.environ:
            ProcessCollector(registry=registry)  # memory, CPU seconds, open files
            PlatformCollector(registry=registry)
        self.registry = registry
        self._answering = ("", "")

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"graft_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str, of_workers: OfWorkers = "livemax") -> Gauge:
            return Gauge(f"graft_{name}", text, labels, registry=registry, multiprocess_mode=of_workers)

        def histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(f"graft_{name}", text, labels, buckets=buckets, registry=registry)

        self._requests = counter("requests", "Requests by path and status.", "path", "status")
        self._seconds = histogram("request_seconds", "From a request's head to its answer.", SECONDS, "path")
        self._stages = histogram("stage_seconds", "Where a request for predictions spends its time.", SECONDS, "stage")
        self._batches = histogram("batch_images", "Images of a forward pass.", BATCH_SIZES)
        self._batch_seconds = histogram("batch_seconds", "Duration of a forward pass.", SECONDS)
        self._labels = counter("predictions", "Images answered, by label.", "label")
        self._top = histogram("top_probability", "Probability of the label that was answered.", PROBABILITIES)
        self.images_under_way = gauge("images_under_way", "Images that wait for their answer.", of_workers="livesum")
        self.bytes_held = gauge("body_bytes_held", "Bytes of the bodies of requests under way.", of_workers="livesum")
        self._model = gauge("model_info", "The model that answers; always 1.", "name", "version")
        self._loads = counter("model_loads", "Models loaded, or not, by outcome.", "outcome")
        problem = "1 while the registry's champion cannot be looked up or loaded and an older model answers."
        self._problem = gauge("champion_problem", problem)
        logged = "Images for the prediction log: written, dropped because too many waited, or failed."
        self._logged = counter("prediction_log_images", logged, "outcome")
        for outcome in ("loaded", "failed"):
            self._loads.labels(outcome)
        for outcome in LOG_OUTCOMES:
            self._logged.labels(outcome)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count an answered request; ``path`` must be one of a few."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def stage(self, name: str, seconds: float) -> None:
        """Record a stage's time in a request: ``read``, ``decode`` (with waiting for a thread) or ``infer``."""
        self._stages.labels(name).observe(seconds)

    def batch(self, images: int, seconds: float) -> None:
        self._batches.observe(images)
        self._batch_seconds.observe(seconds)

    def prediction(self, label: str, probability: float) -> None:
        self._labels.labels(label).inc()
        self._top.observe(probability)

    def model(self, name: str, version: str) -> None:
        """Record the model that answers from now on."""
        if SHARED not in os.environ:
            self._model.clear()
        elif self._answering != ("", ""):
            self._model.labels(*self._answering).set(0)  # what workers share cannot be cleared
        self._answering = (name, version)
        self._model.labels(name, version).set(1)
        self._loads.labels("loaded").inc()

    def load_failed(self) -> None:
        self._loads.labels("failed").inc()

    def prediction_log(self, outcome: str, images: int) -> None:
        """Count what became of images that were to be logged; ``outcome`` is one of LOG_OUTCOMES."""
        self._logged.labels(outcome).inc(images)

    def champion_problem(self, present: bool) -> None:
        self._problem.set(present)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        if SHARED not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # of all workers
        return generate_latest(registry)
