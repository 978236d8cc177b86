"""Section ``compute`` of params.yaml: where scans, features and predictions are computed."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from graft.core.errors import shown
from graft.core.params.sections import Count, Section

_ADDRESS = re.compile(r"[\w.-]+:\d{1,5}|\[[\da-fA-F:]+\]:\d{1,5}|auto")


def _address(address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"{shown(address)} is no address of Ray's. It should be auto or HOST:PORT")
    return address


def _shares(number: float) -> float:
    if number > 1 and number != int(number):
        raise ValueError(f"{shown(number)} is no part of one, and no whole number")
    return number


Cpus = Annotated[float, Field(gt=0), AfterValidator(_shares)]
Gpus = Literal["auto"] | Annotated[float, Field(ge=0), AfterValidator(_shares)]


class ComputeParams(Section):
    """Which machines scan, compute and evaluate images: this one, or a cluster. Results are the same on either.

    No stage depends on this section: where work was done makes nothing anew.

    Attributes:
        engine: ``local``, in this machine's processes; or ``ray``, on a cluster of Ray's.
        address: of the cluster that this machine is a node of: ``auto``, or ``HOST:PORT`` of its head. The
            environment's ``GRAFT_RAY_ADDRESS`` wins, and chooses ``ray`` by itself.
        min_images: fewer than these are computed by the process that asks: it is through before workers elsewhere
            have imported what they need.
        task_cpus: of each task on Ray (a trial of a sweep, a fold, a seed): above 0; what it trains with has so many
            threads. ``task_gpus`` likewise, of tasks that train networks: a share of one GPU, or whole ones; ``auto``
            is one where the cluster has GPUs.
    """

    engine: Literal["local", "ray"] = "local"
    address: Annotated[str, AfterValidator(_address)] = "auto"
    min_images: Count = 256
    task_cpus: Cpus = 1
    task_gpus: Gpus = "auto"
