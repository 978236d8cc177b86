"""Handle one request for predictions, from its body to its answer."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from graft.bundle.images import UnreadableImageError, open_image
from graft.core.params.serve_params import ServeParams
from graft.core.quotas import cores
from graft.deployment.server.admission import Admission, BusyError, Place
from graft.deployment.server.batching import Batcher
from graft.deployment.server.bodies import Kind, RefusedError, body_limit, images_in, kind_of, read_body
from graft.deployment.server.explaining import Explainer
from graft.deployment.server.log_writer import Asked, LogWriter
from graft.deployment.server.responses import predictions
from graft.deployment.server.served_model import Answer, Pixels, ServedModel
from graft.deployment.server.server_metrics import Metrics
from graft.deployment.server.shadow import Shadow
from graft.deployment.server.watch_champion import Champion
from graft.networks.explain.heat_maps import NoHeatMapError

T = TypeVar("T")

# Of a request's images, in its refusal.
PROBLEMS_NAMED = 3


class Predictor:
    """The handler of requests for predictions.

    Args:
        log_writer: gets every image that was answered or could not be read; None logs nothing.
        challenger: a model that is asked behind the answers, where they are logged; None asks none.

    Attributes:
        shadow: what asks it; started and stopped apart.
    """

    def __init__(
        self,
        champion: Champion,
        params: ServeParams,
        metrics: Metrics,
        log_writer: LogWriter | None = None,
        challenger: Champion | None = None,
    ) -> None:
        self.admission = Admission(params.queue, params.max_buffer_bytes)
        self.batcher = Batcher(params.max_batch, params.max_wait_ms / 1000, metrics)
        self._champion = champion
        self._params = params
        self._metrics = metrics
        self._log_writer = log_writer
        self._budget = PixelBudget(params.max_pixels)
        # As many as there are cores: Pillow decodes outside the interpreter's lock.
        self._decoders = ThreadPoolExecutor(cores(), thread_name_prefix="decode")
        self._explainer = Explainer()

        self.shadow: Shadow | None = None
        if challenger is not None and log_writer is not None:
            self.shadow = Shadow(
                challenger, self.batcher, self._decode_one, log_writer, lambda: self.admission.images > 0
            )

    def start(self) -> None:
        """Start the batcher; to be called in the running loop."""
        self.batcher.start()

    async def stop(self) -> None:
        await self.batcher.stop()
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._explainer.stop()

    async def answer(self, request: Request) -> dict[str, object]:
        """Return the predictions for a request's images, see :class:`graft.deployment.server.responses.Predictions`.

        Raises as :meth:`answers` does.
        """
        coverage = _coverage(request.query_params.get("sets"))
        model, answers = await self.answers(request)
        return predictions(model, answers, coverage)

    async def answers(
        self, request: Request, unpack: Callable[[bytes], list[bytes]] | None = None
    ) -> tuple[ServedModel, list[Answer]]:
        """Return the model that answers a request, and its answer for each of its images.

        Args:
            unpack: returns the images' files of a body; by default what its content type says.

        Raises:
            RefusedError: the request is malformed, too large or too slow.
            BusyError: there is no room for it, no model yet, or it took too long.
        """
        model, images, _, answers = await self._answered(request, unpack)
        asked = []
        for data, found in zip(images, answers, strict=True):
            self._metrics.prediction(found.label, found.probability)
            asked.append(Asked(data, model.source, model.classifier.max_pixels, found.label, found.probability))
        self._log(asked)
        if self.shadow is not None:
            self.shadow.put(model, images)
        return model, answers

    async def explain(self, request: Request) -> bytes:
        """Return where the model looked in a request's one image, as a JPEG, for the class that is likeliest.

        Raises:
            RefusedError: the request is malformed, too large, too slow or of several images; or the model's network
                has no heat maps.
            BusyError: as of :meth:`answers`.
        """
        model, images, pixels, answers = await self._answered(request)
        if len(images) != 1:
            raise RefusedError(422, "One image is explained at a time.")
        with self._timed("explain"):
            try:
                return await self._explainer.picture(
                    model, images[0], pixels[0], int(answers[0].probabilities.argmax())
                )
            except NoHeatMapError as error:
                raise RefusedError(422, str(error)) from None

    async def _answered(
        self, request: Request, unpack: Callable[[bytes], list[bytes]] | None = None
    ) -> tuple[ServedModel, list[bytes], list[Pixels], list[Answer]]:
        """Return the model, a request's images as files and decoded, and its answer for each."""
        arrived = False
        try:
            async with asyncio.timeout(self._params.timeout_seconds):
                with Place(self.admission) as place:
                    kind, body = await self._receive(request, place, Kind.JSON if unpack else None)
                    arrived = True
                    content_type = request.headers.get("content-type", "")
                    images = [body]
                    if unpack is not None or kind is not Kind.RAW:
                        take = unpack or partial(images_in, kind, content_type, params=self._params)
                        images = await self._in_thread(take, body)
                    model, pixels, answers = await self._run(images, place)
                    return model, images, pixels, answers
        except TimeoutError:
            limit = f"{self._params.timeout_seconds:g} s"
            if arrived:
                raise BusyError(f"there was no answer within {limit}") from None
            raise RefusedError(408, f"The body did not arrive within {limit}.") from None
        except ClientDisconnect:
            raise RefusedError(400, "The connection broke off before the body was whole.") from None

    async def _receive(self, request: Request, place: Place, kind: Kind | None) -> tuple[Kind, bytes]:
        """Return the body's kind and bytes; refuse it unread where its headers are wrong or there is no room."""
        headers = request.headers
        encoding = headers.get("content-encoding", "")
        kind = kind_of("application/json" if kind else headers.get("content-type", ""), encoding)
        if self._champion.model is None:
            raise BusyError("the model is being loaded")
        self.admission.require_room()
        limit = body_limit(kind, self._params)
        with self._timed("read"):
            body = await read_body(request.stream(), headers.get("content-length"), limit, place.hold_bytes)
        return kind, body

    async def _run(self, images: list[bytes], place: Place) -> tuple[ServedModel, list[Pixels], list[Answer]]:
        """Return the model that answers, and each image decoded with its answer."""
        place.hold_images(len(images))
        model = self._champion.model
        assert model is not None  # once there is one, there is always one
        with self._timed("decode"):
            pixels = await self._decode(model, images)
        with self._timed("infer"):
            answers = await asyncio.gather(*(self.batcher.answer(model, one) for one in pixels))
        return model, pixels, answers

    async def _decode(self, model: ServedModel, images: list[bytes]) -> list[Pixels]:
        async def decode(data: bytes) -> Pixels:
            with self.batcher.decoding():
                return await self._decode_one(model, data)

        results = await asyncio.gather(*map(decode, images), return_exceptions=True)
        pixels: list[Pixels] = []
        problems = []
        unreadable = []
        for position, (data, result) in enumerate(zip(images, results, strict=True)):
            if isinstance(result, UnreadableImageError):
                name = f"image {position}" if len(images) > 1 else "the image"
                problems.append(f"{name} ({result})")
                unreadable.append(Asked(data, model.source, model.classifier.max_pixels, problem=str(result)))
            elif isinstance(result, BaseException):
                raise result
            else:
                pixels.append(result)
        if problems:
            self._log(unreadable)
            more = len(problems) - PROBLEMS_NAMED
            others = f", and {more} more" if more > 0 else ""
            raise RefusedError(422, f"Cannot be used: {', '.join(problems[:PROBLEMS_NAMED])}{others}.")
        return pixels

    async def _decode_one(self, model: ServedModel, data: bytes) -> Pixels:
        return await self._in_thread(decode_image, model, data, self._params.max_pixels, self._budget)

    def _log(self, asked: list[Asked]) -> None:
        if self._log_writer is not None:
            # Not before the loop's next turn: the answer is on its way by then, and the writer's thread can take
            # nothing from it.
            asyncio.get_running_loop().call_soon(self._log_writer.put, asked)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._metrics.stage(stage, time.perf_counter() - started)

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._decoders, function, *arguments)


def _coverage(text: str | None) -> float | None:
    """Return the share of known images whose sets of labels shall hold the right one, where sets are asked for."""
    if text is None:
        return None
    try:
        coverage = float(text)
    except ValueError:
        coverage = 0.0
    if not 0 < coverage < 1:
        raise RefusedError(400, "sets should be a share above 0 and below 1, such as 0.9.")
    return coverage


class PixelBudget:
    """A bound on the pixels that are decoded at a time, in all threads together.

    A file of a few hundred kilobytes may hold any number of pixels, and each takes 6 to 28 bytes while it is decoded
    (28 in 16 bits a channel; measured), so a limit for each image alone would have to be small, or let memory grow
    with the cores.

    Args:
        total: pixels; the most that one image may have.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._changed = threading.Condition()
        self._turn = threading.Lock()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Wait until so many are free, and hold them during the block; ``pixels`` is at most the total."""
        # One waits at a time, so that smaller ones never overtake a large one for ever.
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


def decode_image(model: ServedModel, data: bytes, max_pixels: int, budget: PixelBudget) -> Pixels:
    """Decode an image file's bytes as the model wants them.

    Raises:
        UnreadableImageError: it is no image that can be read, or one of more than ``max_pixels``, or than the model's
            own limit.
    """
    width, height = open_image(data, min(max_pixels, model.classifier.max_pixels)).size  # looks at the header alone
    with budget.taken(width * height):
        try:
            return model.classifier.to_pixels(data)
        except UnreadableImageError:
            raise
        except (Exception, MemoryError) as error:
            # Readers of seven formats over bytes from anywhere: what they raise says something about the bytes.
            raise UnreadableImageError(f"not an image that can be read ({type(error).__name__})") from error
