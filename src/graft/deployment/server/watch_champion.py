"""Load the model that a name stands for, at the start and again when the registry means another version by it.

Requests take the model that is there when their body has arrived and keep it to their end, so that moving the alias
``champion`` changes what answers and disturbs nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from graft.core.errors import GraftError, first_line
from graft.core.project import Project
from graft.deployment.server.served_model import ServedModel, open_model
from graft.deployment.server.server_metrics import Metrics
from graft.registry.aliases import CHAMPION
from graft.registry.resolve import model_name, resolve_model, wanted_decisions

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")

log = logging.getLogger(__name__)

# A version that could not be loaded is tried again after a poll, then after twice as long and so on, up to this.
LONGEST_RETRY_SECONDS = 300.0


class Meant(NamedTuple):
    """The version that an alias means in the registry, and that version's tags."""

    version: str
    tags: Mapping[str, str]


class ModelSource:
    """The source of a server's model: an alias in the registry, or one model for good.

    Args:
        text: see :func:`graft.registry.resolve.resolve_model`; None is the champion of the project's data set.
        max_batch: images of one forward pass, to try a model out with.
    """

    def __init__(self, project: Project, text: str | None, max_batch: int) -> None:
        self._project = project
        self._max_batch = max_batch
        self._client: MlflowClient | None = None
        self.text = text or f"models:/{model_name(project)}@{CHAMPION}"
        self.name, self.alias = "", ""
        if self.text.startswith("models:/"):
            self.name, at, alias = self.text.removeprefix("models:/").rpartition("@")
            self.alias = alias if at else ""

    def ask(self) -> Meant:
        """Return what the alias means now; nothing where the model is meant for good.

        Raises:
            GraftError: there is no such model or alias, or the registry cannot be reached.
        """
        if not self.alias:
            return Meant("", {})
        from mlflow.exceptions import MlflowException

        try:
            found = self._registry().get_model_version_by_alias(self.name, self.alias)
            return Meant(str(found.version), dict(found.tags))
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise self._unreachable(error) from error
            raise GraftError(
                f"MLflow's registry has no {self.alias} of '{self.name}'",
                "Promote one: graft gate, then graft promote; or serve another model, for example "
                f"--model models:/{self.name}@challenger",
            ) from None
        except GraftError:
            raise
        except Exception as error:
            # Database drivers and HTTP clients raise each their own.
            raise self._unreachable(error) from error

    def load(self, version: str) -> ServedModel:
        """Return the model, opened and tried out.

        Raises:
            Exception: it cannot be loaded; of whatever kind the store or the engine raises.
        """
        text = f"models:/{self.name}/{version}" if self.alias else self.text
        source = resolve_model(self._project, text)
        wanted = wanted_decisions(self._project, source)
        return open_model(replace(source, alias=self.alias or source.alias), self._max_batch, wanted)

    def _registry(self) -> MlflowClient:
        from graft.registry.store.tracking_store import open_store

        self._client = self._client or open_store(self._project)
        return self._client

    def _unreachable(self, error: Exception) -> GraftError:
        return GraftError(
            f"MLflow's registry {self._project.tracking_uri} cannot be asked: {first_line(error)}",
            "Check that it can be reached, and MLFLOW_TRACKING_URI",
        )


class Champion:
    """The newest model that could be loaded.

    Args:
        metrics: count what was loaded, and problems.
        role: what it does, in the line that names the model.

    Attributes:
        model: the one that answers; None until the first is loaded.
        tags: of its version, as the registry had them last.
        problem: why the version that the registry names does not answer; ``""`` where it does.
        failure: why there is no model at all and will be none.
    """

    def __init__(self, source: ModelSource, poll_seconds: float, metrics: Metrics, role: str = "Now answering") -> None:
        self.source = source
        self._role = role
        self.model: ServedModel | None = None
        self.tags: Mapping[str, str] = {}
        self.problem = ""
        self.failure: Exception | None = None
        self._poll_seconds = poll_seconds
        self._metrics = metrics
        self._failed_version: str | None = None
        self._retry_at = 0.0
        self._retry_seconds = poll_seconds
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        # One thread, in which nothing waits for requests: loading takes seconds.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="champion")

    def start(self, on_failure: Callable[[], None]) -> None:
        """Load the first model and then watch, in the running loop; return at once.

        Args:
            on_failure: called where the first model cannot be loaded; ``failure`` says why.
        """
        self._task = asyncio.get_running_loop().create_task(self._run(on_failure))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, on_failure: Callable[[], None]) -> None:
        try:
            meant = await self._in_thread(self.source.ask)
            self._take(await self._in_thread(self.source.load, meant.version), meant)
        except Exception as error:
            self.failure = error
            on_failure()
            return
        while self.source.alias:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._woken.wait()
            self._woken.clear()
            await self.look()

    def wake(self) -> None:
        """Look at the registry now instead of at the next poll, as soon as the loop comes to it."""
        self._woken.set()

    async def look(self) -> None:
        """Ask the registry once, and load what it means now where that is another version."""
        assert self.model is not None
        now = monotonic()
        try:
            meant = await self._in_thread(self.source.ask)
        except GraftError as error:
            self._report(str(error))
            return
        if meant.version == self.model.source.version:
            self.tags = meant.tags  # promotion writes some of them once the alias is moved
            self._report("")
            return
        again = meant.version == self._failed_version
        if again and now < self._retry_at:
            return
        try:
            self._take(await self._in_thread(self.source.load, meant.version), meant)
        except Exception as error:
            # Whatever is wrong with the new one, the old one answers.
            self._metrics.load_failed()
            self._retry_seconds = min(2 * self._retry_seconds, LONGEST_RETRY_SECONDS) if again else self._poll_seconds
            self._failed_version, self._retry_at = meant.version, now + self._retry_seconds
            self._report(f"Version {meant.version} cannot be loaded: {first_line(error)}.")

    def _take(self, model: ServedModel, meant: Meant) -> None:
        """Answer new requests with ``model`` from here on; the old one goes with its last request."""
        self.model, self.tags = model, meant.tags
        self._failed_version = None
        self._metrics.model(model.source.name, model.source.version)
        log.info("%s: %s", self._role, model.source)
        self._report("")

    def _report(self, problem: str) -> None:
        self._metrics.champion_problem(bool(problem))
        if problem != self.problem:
            if problem:
                log.warning("%s %s goes on answering.", problem, self.model.source if self.model else "Nothing")
            elif self.problem:
                log.info("The registry's %s can be had again", self.source.alias)
            self.problem = problem

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
