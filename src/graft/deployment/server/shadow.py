"""Ask a second model about images that were answered already, and log what it says; nobody waits for it.

It works while no request is under way; where many images wait, it leaves some out.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from graft.deployment.monitor.shadow_answers import SHADOW
from graft.deployment.server.batching import Batcher
from graft.deployment.server.log_writer import Asked, LogWriter
from graft.deployment.server.served_model import Pixels, ServedModel
from graft.deployment.server.watch_champion import Champion

log = logging.getLogger(__name__)

MOST_WAITING = 64  # images; their files are held meanwhile
REST_SECONDS = 0.02  # while requests are under way


class Shadow:
    """A second model behind the one that answers.

    Args:
        challenger: which model; started and stopped with the shadow.
        decode: decodes an image file for a model.
        is_busy: whether requests are under way, which go first.
    """

    def __init__(
        self,
        challenger: Champion,
        batcher: Batcher,
        decode: Callable[[ServedModel, bytes], Awaitable[Pixels]],
        log_writer: LogWriter,
        is_busy: Callable[[], bool],
    ) -> None:
        self._challenger, self._batcher, self._decode = challenger, batcher, decode
        self._log_writer, self._is_busy = log_writer, is_busy
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Load the model and begin to ask it, in the running loop."""
        self._challenger.start(lambda: log.warning("Nothing answers in the shadow: %s", self._challenger.failure))
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop; images that still wait are given up."""
        await self._challenger.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def put(self, model: ServedModel, images: Sequence[bytes]) -> None:
        """Take images that ``model`` has answered; leave out what there is no room for."""
        shadow = self._challenger.model
        if shadow is None or shadow.source.digest == model.source.digest:
            return
        for data in images[: MOST_WAITING - self._waiting.qsize()]:
            self._waiting.put_nowait(data)

    async def _run(self) -> None:
        while True:
            data = await self._waiting.get()
            model = self._challenger.model
            while self._is_busy():
                await asyncio.sleep(REST_SECONDS)
            if model is None:
                continue
            try:
                found = await self._batcher.answer(model, await self._decode(model, data))
            except Exception as error:  # the shadow's own trouble is nobody's
                log.warning("The shadow does not answer: %s", error)
                continue
            source = replace(model.source, alias=SHADOW)
            asked = Asked(data, source, model.classifier.max_pixels, found.label, found.probability)
            self._log_writer.put([asked])
