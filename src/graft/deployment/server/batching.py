"""Batch images of requests that are under way at the same time, so that they go through the network together."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from graft.deployment.server.served_model import Answer, Pixels, ServedModel, run_batch
from graft.deployment.server.server_metrics import Metrics


@dataclass(eq=False)
class _Waiting:
    """One decoded image that waits for its answer."""

    model: ServedModel
    pixels: Pixels
    answer: asyncio.Future[Answer]


@dataclass
class Batcher:
    """A gatherer of decoded images into batches, which runs these one after another in a thread.

    While a batch is computed the next one gathers, so under load batches fill by themselves. When the network is
    free, a batch waits only for images that are being decoded at that moment, and for these at most
    ``max_wait`` seconds: a single photograph never waits.

    For one event loop: nothing here may be called from another thread.

    Args:
        max_wait: seconds.
        metrics: gets size and duration of each batch.
    """

    max_batch: int
    max_wait: float
    metrics: Metrics
    _waiting: deque[_Waiting] = field(default_factory=deque, init=False)
    _being_decoded: int = field(default=0, init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)
    _worker: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="inference"), init=False
    )

    def start(self) -> None:
        """Start to work through what arrives; to be called in the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop; images that still wait are given up."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._worker.shutdown(wait=True)

    @contextlib.contextmanager
    def decoding(self) -> Iterator[None]:
        """Let a batch wait for the image that is decoded in this block."""
        self._being_decoded += 1
        try:
            yield
        finally:
            self._being_decoded -= 1
            self._changed.set()

    async def answer(self, model: ServedModel, pixels: Pixels) -> Answer:
        """Return the answer for one image.

        Args:
            model: that the image was decoded for; a batch never mixes two.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(model, pixels, answer))
        self._changed.set()
        return await answer

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._waiting:
                self._changed.clear()
                await self._changed.wait()
            await self._gather()
            batch = self._take()
            if not batch:
                continue
            started = loop.time()
            try:
                rows = await loop.run_in_executor(
                    self._worker, run_batch, batch[0].model, [one.pixels for one in batch]
                )
                for one, row in zip(batch, rows, strict=True):
                    if not one.answer.done():
                        one.answer.set_result(row)
            except Exception as error:
                # Whatever the network raises belongs to those who asked; the next batch goes on.
                for one in batch:
                    if not one.answer.done():
                        one.answer.set_exception(error)
            else:
                self.metrics.batch(len(batch), loop.time() - started)

    async def _gather(self) -> None:
        """Wait for images that are being decoded, within limits."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.max_wait
        while self._being_decoded and len(self._waiting) < self.max_batch:
            left = deadline - loop.time()
            if left <= 0:
                return
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()

    def _take(self) -> list[_Waiting]:
        """Return the images of the next batch, in order of arrival; drop those that nobody waits for any more."""
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self.max_batch:
            if self._waiting[0].answer.done():
                self._waiting.popleft()
            elif batch and self._waiting[0].model is not batch[0].model:
                break
            else:
                batch.append(self._waiting.popleft())
        return batch
