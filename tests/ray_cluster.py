"""A cluster of Ray's on this machine: a head and nodes, each of them processes of their own that can be killed."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from graft.automation.prefect_server import HOST, free_port

# Whoever reaches a cluster without a token may run anything in it, and it listens at more than loopback.
SETTINGS = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


@dataclass
class Cluster:
    """``address`` for drivers; ``nodes`` are the processes of the nodes, the head first."""

    address: str
    folder: Path
    nodes: list[psutil.Popen] = field(default_factory=list)

    def join(self, tries: int = 4) -> psutil.Popen:
        """Starts one more node, of one CPU; returns once it is part of the cluster.

        Ray gives a node thirty seconds to start, which is little on a machine that does other things too.
        """
        where = ["--head", f"--port={self.address.rpartition(':')[2]}", "--include-dashboard=false", "--no-monitor"]
        where += [f"--temp-dir={self.folder}"]
        if self.nodes:
            where = [f"--address={self.address}"]
        program = str(Path(sys.executable).with_name("ray"))
        size = ["--num-cpus=1", "--object-store-memory=150000000", f"--node-ip-address={HOST}"]
        with (self.folder / f"log{len(self.nodes)}").open("wb") as log:
            node = psutil.Popen(
                [program, "start", *where, *size, "--disable-usage-stats", "--include-log-monitor=false", "--block"],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **SETTINGS, "RAY_worker_niceness": "0"},
                start_new_session=True,
            )
        log = self.folder / f"log{len(self.nodes)}"
        while "Ray runtime started" not in log.read_text(errors="replace"):
            if node.poll() is not None:
                self.kill(node)
                assert tries > 1, log.read_text(errors="replace")[-2000:]
                return self.join(tries - 1)
            time.sleep(0.1)
        self.nodes.append(node)
        return node

    def kill(self, node: psutil.Popen) -> None:
        """Kills a node and all that runs on it, at once."""
        with contextlib.suppress(psutil.Error):
            for one in (*node.children(recursive=True), node):
                with contextlib.suppress(psutil.Error):
                    one.kill()
        node.wait(timeout=60)


@contextlib.contextmanager
def ray_cluster(nodes: int = 2) -> Iterator[Cluster]:
    """A cluster of so many nodes of one CPU each, gone afterwards; this process's environment lets it in meanwhile."""
    before = {name: os.environ.get(name) for name in (*SETTINGS, "GRAFT_RAY_ADDRESS")}
    os.environ.update(SETTINGS)  # Ray looks at them when it is first imported
    pytest.importorskip("ray", reason="needs the package ray[data]")
    folder = Path(tempfile.mkdtemp(prefix="graft-ray-"))
    cluster = Cluster(f"{HOST}:{free_port()}", folder)
    try:
        for _ in range(nodes):
            cluster.join()
        yield cluster
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        for node in cluster.nodes:
            if node.is_running():
                cluster.kill(node)
        shutil.rmtree(folder, ignore_errors=True)


def connected_cluster(nodes: int) -> Iterator[Cluster]:
    """The same for a fixture: this process's connection to it ends with it."""
    with ray_cluster(nodes) as started:
        yield started
        import ray

        from graft.core import cluster

        ray.shutdown()
        cluster._connect.cache_clear()
