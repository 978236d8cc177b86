"""Run independent pieces of work: one after the other here, or each as a task of Ray's."""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from graft.core.cluster import connected, gpus_of_cluster, is_for_cluster, raise_failure, ray_address, task_size
from graft.core.errors import GraftError
from graft.core.outside import own_path
from graft.core.quotas import THREAD_VARIABLES

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
# How often Ray begins a piece anew whose worker or node died: a piece that kills its workers itself has to end.
RETRIES = 5
# Of the driver's environment, what decides what comes out, or where it is looked for.
_SHARED = ("GRAFT_CACHE", "KERAS_HOME", "TFHUB_CACHE_DIR", "KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS")


def run_each(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    images: int | None = None,
    together: int | None = None,
    trains: bool = False,
) -> Iterator[_Result]:
    """Yield the function's result for each item, in the order of the items.

    Here the next item is taken once the result before it has been used. On Ray so many are under way at a time as
    ``together`` says; a worker or node that dies costs the pieces that it had, which Ray begins anew elsewhere.

    Args:
        function: of a module, or a partial of one; what it holds is sent once. It writes below the project alone.
        images: that all pieces look at together; few are not sent, see :func:`is_for_cluster`. None: always sent.
        together: pieces under way at a time on Ray; None: as many as the cluster has room for.
        trains: whether pieces train networks, which take a GPU each where the cluster has some.

    Raises:
        GraftError: as the function raises it, or the cluster is gone, or none of its nodes has room for a piece.
    """
    if not (ray_address() if images is None else is_for_cluster(images)):
        yield from map(function, items)
        return
    connected()
    import ray

    cpus, gpus = task_size(gpus_of_cluster() if trains else 0)
    ahead = max(1, together or 0, _room(cpus, gpus))
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_run)
    environment = {name: os.environ[name] for name in _SHARED if name in os.environ}
    if cache := environment.get("GRAFT_CACHE"):
        environment["GRAFT_CACHE"] = str(own_path(cache).absolute())
    environment |= dict.fromkeys(THREAD_VARIABLES, str(max(1, int(cpus))))
    waiting = iter(items)
    under_way: deque[Any] = deque()
    try:
        sent = ray.put(function)
        while True:
            under_way.extend(task.remote(sent, environment, one) for one in islice(waiting, ahead - len(under_way)))
            if not under_way:
                return
            try:
                found = ray.get(under_way[0])
            except Exception as error:
                raise_failure(error)
            under_way.popleft()
            yield found
    finally:
        for piece in under_way:  # of a caller that wants no more
            with contextlib.suppress(Exception):
                ray.cancel(piece)


def _run(function: Callable[[_Item], _Result], environment: dict[str, str], item: _Item) -> _Result:
    os.environ.update(environment)
    return function(item)


def _room(cpus: float, gpus: float) -> int:
    """Return how many pieces of that size run at a time on the nodes that are there."""
    import ray

    def times(node: dict[str, Any]) -> int:
        has = node["Resources"]
        return int(min(has.get(what, 0) // size for what, size in (("CPU", cpus), ("GPU", gpus)) if size))

    room = sum(times(node) for node in ray.nodes() if node["Alive"])
    if not room:
        raise GraftError(
            f"No node of Ray's cluster at {ray_address()} has the {cpus:g} CPUs and {gpus:g} GPUs that a piece of work "
            "takes",
            "Lower compute.task_cpus or compute.task_gpus in params.yaml, or start a node that has them",
        )
    return room
