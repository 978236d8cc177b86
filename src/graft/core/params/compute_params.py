"""Section ``compute`` of params.yaml: where scans, features and predictions are computed."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator

from graft.core.errors import shown
from graft.core.params.sections import Count, Section

_ADDRESS = re.compile(r"[\w.-]+:\d{1,5}|\[[\da-fA-F:]+\]:\d{1,5}|auto")


def _address(address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"{shown(address)} is no address of Ray's. It should be auto or HOST:PORT")
    return address


class ComputeParams(Section):
    """Which machines scan, compute and evaluate images: this one, or a cluster. Results are the same on either.

    No stage depends on this section: where work was done makes nothing anew.

    Attributes:
        engine: ``local``, in this machine's processes; or ``ray``, on a cluster of Ray's.
        address: of the cluster that this machine is a node of: ``auto``, or ``HOST:PORT`` of its head. The
            environment's ``GRAFT_RAY_ADDRESS`` wins, and chooses ``ray`` by itself.
        min_images: fewer than these are computed by the process that asks: it is through before workers elsewhere
            have imported what they need.
    """

    engine: Literal["local", "ray"] = "local"
    address: Annotated[str, AfterValidator(_address)] = "auto"
    min_images: Count = 256
