"""Work on a stream in threads, some items ahead of whoever takes the results; wait for one call no longer than so."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from graft.core.quotas import cores

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_threads(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Yield the results in order, some computed ahead in threads.

    Pillow lets go of the interpreter lock while it decodes: such work runs side by side.
    """
    threads = cores()
    ahead: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                # Files of an archive are in memory while they wait here.
                if len(ahead) == 2 * threads:
                    yield ahead.popleft().result()
                ahead.append(pool.submit(work, item))
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def within(seconds: float, call: Callable[[], _Result]) -> _Result:
    """Return the call's result, or raise TimeoutError: what waits in a library's own code can only be left behind."""
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future.result(seconds)
