"""Write the prediction log of `graft serve` in a thread of its own, behind the answers.

Looking at a photograph means decoding it whole, which may take longer than the answer did. So images that were answered
wait in a bounded queue; where it is full, they are dropped and counted, and nobody waits.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from graft.core.errors import GraftError, first_line
from graft.core.params.monitor_params import LogParams
from graft.core.project import Project
from graft.deployment.monitor.observation import Observation, observe
from graft.deployment.monitor.prediction_log import LoggedPrediction, PredictionLog
from graft.deployment.server.server_metrics import Metrics
from graft.registry.resolve import ResolvedModel

log = logging.getLogger(__name__)

# That every image in the queue counts for at least: a thousand fill 64 MB, however small they are, and these are looked
# at within a few seconds when the server ends.
LEAST_BYTES = 65_536
# From the first image that arrives to the first look, so that many are looked at in one go: a thread that wakes for
# each costs three times as much CPU as the looking.
GATHER_SECONDS = 0.05
# After so much work the thread rests three times as long, as long as requests are under way: it takes a quarter of one
# core from them at most. A photograph of 12 megapixels is 0.16 s of work.
STRETCH_SECONDS = 0.01
REST = 3.0
# Of the server's end, for what waits then: Docker kills ten seconds after it asked, Kubernetes thirty.
STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Asked:
    """An image of a request, and what it was answered.

    Attributes:
        data: its file.
        model: that answered.
        max_pixels: the model's own limit.
        label, probability: the answer; ``""`` and nan where there is none.
        problem: why the image could not be read, ``""`` where it could.
    """

    data: bytes
    model: ResolvedModel
    max_pixels: int
    label: str = ""
    probability: float = float("nan")
    problem: str = ""


def prediction_log(project: Project, params: LogParams, wanted: bool | None = None) -> PredictionLog | None:
    """Return the log that a server of this project writes, if any.

    Args:
        params: whether there is one, and what it keeps.
        wanted: whether there is one, whatever ``params`` say.

    Raises:
        GraftError: ``params`` want something logged that a server does not log.
    """
    if not (params.enabled if wanted is None else wanted):
        return None
    if params.keep_embeddings:
        raise GraftError(
            "monitor.log.keep_embeddings is true in params.yaml, but graft serve keeps no embeddings: it would have "
            "to run TensorFlow and a second network beside the answers",
            "Set it to false, and keep_images to true, from which graft monitor computes them; or add --no-log",
        )
    return PredictionLog(project.prediction_log, params)


class LogWriter:
    """A thread that observes images that were answered, and logs them.

    Args:
        max_bytes: of images that wait; each counts for :data:`LEAST_BYTES` or more.
        stop_seconds: for what waits when the server ends; what is left then is dropped.
    """

    def __init__(
        self, log: PredictionLog, max_bytes: int, metrics: Metrics, stop_seconds: float = STOP_SECONDS
    ) -> None:
        # Imported before any thread runs: while TensorFlow is imported, SciPy cannot be found.
        import imagehash  # noqa: F401
        import scipy.fftpack  # noqa: F401

        self._log = log
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._stop_seconds = stop_seconds
        self._waiting: deque[Asked] = deque()
        self._held = 0
        self._stop_at: float | None = None
        self._ending = threading.Event()
        self._is_answering: Callable[[], bool] = lambda: False
        self._changed = threading.Condition()
        self._lost = 0  # images in a row that could not be logged
        # A second Ctrl-C skips the orderly end, and must not find a thread that waits for it.
        self._thread = threading.Thread(target=self._run, name="prediction log", daemon=True)

    def start(self, is_answering: Callable[[], bool]) -> None:
        """Start to work through what arrives.

        Args:
            is_answering: whether requests are under way, which go first; asked in the writer's thread.
        """
        self._is_answering = is_answering
        self._thread.start()

    def stop(self) -> None:
        """Log what waits, within limits, and return when that is done."""
        with self._changed:
            self._stop_at = time.monotonic() + self._stop_seconds
            self._changed.notify()
        self._ending.set()
        self._thread.join()

    def put(self, asked: Sequence[Asked]) -> None:
        """Take images to be logged, or drop them; neither wait nor raise."""
        dropped = 0
        with self._changed:
            for one in asked:
                size = _size(one)
                if self._stop_at is not None or self._held + size > self._max_bytes:
                    dropped += 1
                else:
                    self._waiting.append(one)
                    self._held += size
            self._changed.notify()
        self._metrics.prediction_log("dropped", dropped)

    def _run(self) -> None:
        worked = 0.0
        while (one := self._next()) is not None:
            began = time.monotonic()
            self._take(one)
            worked += time.monotonic() - began
            with self._changed:
                self._held -= _size(one)
            if worked >= STRETCH_SECONDS:
                if self._is_answering():
                    self._ending.wait(REST * worked)
                worked = 0.0
        if self._lost:
            log.warning("%d predictions were not logged", self._lost)
        self._log.close()

    def _next(self) -> Asked | None:
        """Return the next image, once there is one; None when the server ends."""
        with self._changed:
            is_idle = not self._waiting and self._stop_at is None
            self._changed.wait_for(lambda: self._waiting or self._stop_at is not None)
        if is_idle:
            self._ending.wait(GATHER_SECONDS)
        with self._changed:
            if self._stop_at is not None and (not self._waiting or time.monotonic() >= self._stop_at):
                self._give_up()
                return None
            return self._waiting.popleft()

    def _give_up(self) -> None:
        if self._waiting:
            log.warning("%d images are not logged: the server ends", len(self._waiting))
            self._metrics.prediction_log("dropped", len(self._waiting))
            self._waiting.clear()

    def _take(self, one: Asked) -> None:
        try:
            self._log.append([_look(one)])
        except Exception as error:
            # Also what readers of seven formats raise over bytes from anywhere: nothing must end the thread.
            self._metrics.prediction_log("failed", 1)
            if not self._lost:
                log.warning("A prediction is not logged: %s. Answers go on.", first_line(error))
            self._lost += 1
            return
        self._metrics.prediction_log("written", 1)
        if self._lost:
            log.info("Predictions are logged again; %d were not", self._lost)
            self._lost = 0


def _look(one: Asked) -> LoggedPrediction:
    image = Observation(sha256(one.data).hexdigest(), one.problem) if one.problem else observe(one.data, one.max_pixels)
    return LoggedPrediction(image, str(one.model), one.model.digest, one.label, one.probability, data=one.data)


def _size(one: Asked) -> int:
    return max(len(one.data), LEAST_BYTES)
