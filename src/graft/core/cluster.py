"""Ray, where scans, features and predictions are to be computed on more than one machine.

Nothing here is imported, and Ray is not either, unless params.yaml or ``GRAFT_RAY_ADDRESS`` asks for it. All nodes see
the project and its cache under the same paths (a shared file system), and have the same graft installed.
"""

import functools
import importlib.util
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from graft.core.errors import GraftError, first_line
from graft.core.params.compute_params import ComputeParams

ADDRESS = "GRAFT_RAY_ADDRESS"
MIN_IMAGES = "GRAFT_RAY_MIN_IMAGES"
TASK_CPUS, TASK_GPUS = "GRAFT_RAY_TASK_CPUS", "GRAFT_RAY_TASK_GPUS"
INSTALL = "pip install 'graft[ray]', the same version on every node"
# Rows of a block: some MB of decoded images. Smaller blocks cost more messages, larger ones make a node that dies cost
# more.
BLOCK = 128
_TRIES = 3  # to connect: Ray gives each a few seconds, which is little on a busy machine


def use_compute(params: ComputeParams) -> None:
    """Set this process, and those that it starts, to compute where params.yaml says, unless the environment says so."""
    if params.engine == "ray":
        os.environ.setdefault(ADDRESS, params.address)
    os.environ.setdefault(MIN_IMAGES, str(params.min_images))
    os.environ.setdefault(TASK_CPUS, str(params.task_cpus))
    os.environ.setdefault(TASK_GPUS, str(params.task_gpus))


def ray_address() -> str:
    """Return the address of the cluster to compute on, "" for none: on this machine."""
    return os.environ.get(ADDRESS, "")


def is_for_cluster(count: int) -> bool:
    """Return whether so many images are worth a cluster, and there is one."""
    return bool(ray_address()) and count >= int(os.environ.get(MIN_IMAGES, ComputeParams().min_images))


def task_size(gpus: int) -> tuple[float, float]:
    """Return the CPUs and GPUs of a task, for a cluster with so many GPUs; with 0 the task takes none."""
    defaults = ComputeParams()
    wanted = os.environ.get(TASK_GPUS, str(defaults.task_gpus))
    each = float(gpus > 0) if wanted == "auto" else float(wanted)
    return float(os.environ.get(TASK_CPUS, defaults.task_cpus)), each if gpus else 0.0


def connected() -> Any:
    """Return the module ``ray.data``, connected to the cluster of :func:`ray_address`.

    Raises:
        GraftError: Ray is not installed, of another version than the cluster's, or the cluster does not answer.
    """
    return _connect(ray_address())


@functools.cache
def _connect(address: str) -> Any:
    if importlib.util.find_spec("ray") is None:
        raise GraftError(f"{ADDRESS}, or compute.engine in params.yaml, asks for Ray, which is not installed", INSTALL)
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what is an error to users comes as an exception
    import ray

    # Those of the driver that decide what comes out, or how loudly.
    names = ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "TF_USE_LEGACY_KERAS")
    shared = {name: os.environ[name] for name in names if name in os.environ}
    try:
        for attempt in range(_TRIES):
            try:
                ray.init(
                    address=address,
                    namespace="graft",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    runtime_env={"env_vars": {**shared, ADDRESS: ""}},  # whatever runs there computes there
                    ignore_reinit_error=True,
                )
                break
            except ConnectionError:
                if attempt == _TRIES - 1:
                    raise
    except Exception as error:  # Ray raises all kinds, from ConnectionError to RuntimeError
        raise GraftError(
            f"Ray's cluster at {address} cannot be used: {first_line(error)}",
            f"Start it (ray start --head), correct {ADDRESS} or compute.address, or set its token "
            f"(RAY_AUTH_MODE=token, RAY_AUTH_TOKEN); nodes need {INSTALL}",
        ) from error
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.raise_original_map_exception = True  # else a GraftError comes back as text
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray.data


def gpus_of_cluster() -> int:
    """Return how many GPUs the cluster has; see :func:`connected`."""
    connected()
    import ray

    return int(ray.cluster_resources().get("GPU", 0))


def nodes_of_cluster(file: Path) -> dict[str, tuple[str, bool]]:
    """Return, by a name for each node that is alive, its version of graft, and whether it has ``file``.

    Raises:
        GraftError: as :func:`connected` does, or a node has no graft.
    """
    connected()
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    look = ray.remote(num_cpus=0)(_look)
    asked = {}
    for node in ray.nodes():
        if node["Alive"]:
            what = {name: node["Resources"].get(name, 0) for name in ("CPU", "GPU")}
            name = f"Ray node {node['NodeManagerAddress']}, {what['CPU']:g} CPUs, {what['GPU']:g} GPUs"
            name += f" ({node['NodeID'][:6]})"
            asked[name] = look.options(scheduling_strategy=On(node["NodeID"], soft=False)).remote(str(file))
    try:
        return dict(zip(asked, ray.get(list(asked.values()), timeout=60), strict=True))
    except Exception as error:
        raise GraftError(f"A node of Ray's cannot run graft: {first_line(error)}", f"There, too: {INSTALL}") from error


def _look(file: str) -> tuple[str, bool]:
    from importlib.metadata import version

    return version("graft"), Path(file).is_file()


class ClusterStep:
    """One step of :func:`rows_on_cluster`: a function of batches, run as tasks, or a class of actors.

    Args:
        function: a batch, values by column, to another; or a class whose instances take one.
        settings: what the class is made with; for functions, none.
        gpus: of each actor.
    """

    def __init__(self, function: Any, settings: tuple[Any, ...] = (), gpus: float = 0) -> None:
        self._function, self._settings, self._gpus = function, settings, gpus

    def applied_to(self, dataset: Any, data: Any) -> Any:
        """Return Ray's data set with this step behind it."""
        import ray

        # OpenVINO takes all cores of a node: half of the smallest one's to each actor leaves the others to decoding,
        # also where one node alone is left. With no limit to their number a node that joins gets its own.
        cpus = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        least = min((count for count in cpus if count), default=1)
        task = 1.0 if least > 1 else 0.5
        settings = {"batch_size": BLOCK, "batch_format": "numpy", "num_cpus": task}
        if not isinstance(self._function, type):
            return dataset.map_batches(self._function, **settings)
        settings["num_cpus"] = None if self._gpus else max(task, float(least // 2))
        if self._gpus:
            settings["num_gpus"] = self._gpus
        pool = data.ActorPoolStrategy(min_size=1)
        return dataset.map_batches(self._function, fn_constructor_args=self._settings, compute=pool, **settings)


def rows_on_cluster(columns: Mapping[str, Iterable[Any]], *steps: ClusterStep) -> Iterator[dict[str, Any]]:
    """Run batches of rows through steps, in a pipeline with backpressure, and yield its rows in order.

    A worker or node that dies costs the blocks that it had: Ray computes these again elsewhere.

    Args:
        columns: values by name, of equal length.
        steps: each a function of a batch, or a class whose instances are (made once on each of some workers).

    Raises:
        GraftError: as a step raises it, or the cluster is gone.
    """
    import pyarrow as pa

    data = connected()
    table = pa.table({name: pa.array(list(values)) for name, values in columns.items()})
    blocks = [table.slice(start, BLOCK) for start in range(0, len(table), BLOCK)]
    dataset = data.from_arrow(blocks)
    for step in steps:
        dataset = step.applied_to(dataset, data)
    try:
        yield from dataset.iter_rows()
    except Exception as error:
        raise_failure(error)


def raise_failure(error: Exception) -> NoReturn:
    """Raise what a step or task failed of: its own GraftError, or that the cluster has not finished its work."""
    cause = getattr(error, "cause", error)
    if isinstance(cause, GraftError):
        raise GraftError(cause.what, cause.fix) from None  # Ray's own class of it prints its traceback
    raise GraftError(
        f"Ray's cluster at {ray_address()} has not finished its work: {first_line(error)}",
        "See `ray status` and Ray's dashboard, then run the same command again: what was computed is kept",
    ) from error
