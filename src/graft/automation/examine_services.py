"""Examine the servers that a project shares with others: MLflow, its database, Prefect, DVC's remote, Ray.

Of each: whether it answers, its version and schema, whether what is written there is read back, and its clock. What is
written is small, named ``graft-doctor``, and removed again, but for MLflow's experiment of that name.
"""

import contextlib
import importlib.util
import os
import secrets
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from graft.automation.examine import Finding, Look, look_at_all
from graft.core.cluster import INSTALL, nodes_of_cluster, ray_address, use_compute
from graft.core.credentials import without_credentials
from graft.core.params import load_params
from graft.core.project import Project

LIMIT_SECONDS = 90.0  # for everything: MLflow and DVC take seconds to import
# Promotions give a change of champion 20 s before they take its author for dead.
CLOCK_SECONDS = 5.0
PROBE = "graft-doctor"


def examine_services(project: Project) -> list[Finding]:
    """Return what was found at each server, in the order in which a run needs them."""
    probes: list[Look] = [
        ("MLflow", "bad", lambda: _mlflow(project)),
        ("Prefect", "bad", lambda: _prefect(project)),
        ("DVC remote", "bad", lambda: _remote(project)),
        ("shared features", "bad", lambda: _shared_features(project)),
        ("Ray", "bad", lambda: _ray(project)),
    ]
    return look_at_all(probes, LIMIT_SECONDS)


def _mlflow(project: Project) -> Iterator[Finding]:
    from graft.registry.store.reachable import require_answer

    uri = project.tracking_uri
    if project.tracking_is_own or uri.startswith("sqlite"):
        yield Finding("MLflow", "note", "this machine's own file", "Name a server in MLFLOW_TRACKING_URI to share it")
        return
    require_answer(uri)
    yield Finding("MLflow", "ok", f"{without_credentials(uri)} answers")
    if project.tracking_is_served:
        yield from _mlflow_version(uri)
    else:
        yield from _mlflow_database(uri)
    yield _mlflow_written(project, uri)


def _mlflow_version(uri: str) -> Iterator[Finding]:
    import requests
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    answer = http_request(get_default_host_creds(uri), "/version", "GET", raise_on_status=False, max_retries=0)
    assert isinstance(answer, requests.Response)
    theirs, ours = answer.text.strip() if answer.status_code == 200 else "", metadata.version("mlflow")
    if answer.status_code in (401, 403):
        pass  # who asks is not known there: what is written and read back says so, and what to do
    elif theirs.split(".")[:1] != ours.split(".")[:1]:
        said = f"version {theirs}" if theirs else f"says no version (status {answer.status_code})"
        yield Finding("MLflow version", "bad", f"{said}, and {ours} here", f"Run mlflow {ours} on the server")
    elif theirs.split(".")[:2] < ours.split(".")[:2]:
        yield Finding("MLflow version", "note", f"{theirs}, and {ours} here", "Renew the server first, then clients")
    else:
        yield Finding("MLflow version", "ok", theirs)
    yield _clock("MLflow clock", answer.headers.get("date"))


def _mlflow_database(uri: str) -> Iterator[Finding]:
    """Yield version, schema and clock of a database that MLflow's client uses without a server."""
    import sqlalchemy
    from mlflow.store.db.utils import _get_latest_schema_revision, _get_schema_version

    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.connect() as connection:
            version = ".".join(map(str, getattr(connection.dialect, "server_version_info", None) or ("?",)))
            now = connection.execute(sqlalchemy.text("SELECT CURRENT_TIMESTAMP")).scalar()
        yield Finding("MLflow database", "ok", f"{engine.dialect.name} {version}")
        theirs, ours = _get_schema_version(engine), _get_latest_schema_revision()
    finally:
        engine.dispose()
    if theirs is None:
        yield Finding("MLflow schema", "ok", "no tables yet: the first run makes them")
    elif theirs != ours:
        fix = f"Save the database, then on the newest machine: mlflow db upgrade {without_credentials(uri)}"
        yield Finding("MLflow schema", "bad", f"revision {theirs}, and {ours} here", fix)
    else:
        yield Finding("MLflow schema", "ok", f"revision {theirs}, as here")
    if isinstance(now, datetime):
        yield _skew("MLflow clock", now.timestamp())


def _mlflow_written(project: Project, uri: str) -> Finding:
    """Return whether a run with a figure, a tag and a file comes back as it was written."""
    from graft.registry.store.tracking_store import experiment_id, open_store
    from graft.registry.store.usable import require_files, require_models

    client, started = open_store(project), time.monotonic()
    experiment = experiment_id(project, client, PROBE)
    require_models(client, experiment, uri)
    run = client.create_run(experiment)
    run_id, word = run.info.run_id, secrets.token_hex(8)
    try:
        client.log_metric(run_id, "figure", 0.125)
        client.set_tag(run_id, "word", word)
        require_files(client, run, {"word": word}, uri, project.tracking_is_served)
        data = client.get_run(run_id).data
    finally:
        with contextlib.suppress(Exception):  # a store of files that cannot delete is not what was asked
            from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

            get_artifact_repository(run.info.artifact_uri, tracking_uri=uri).delete_artifacts()
        client.delete_run(run_id)
    what = "MLflow writes"
    if data.metrics.get("figure") != 0.125 or data.tags.get("word") != word:
        return Finding(what, "bad", "a run is not read back as it was written", "See the server's log")
    return Finding(what, "ok", f"run, tag and file written and read back in {time.monotonic() - started:.1f} s")


def _prefect(project: Project) -> Iterator[Finding]:
    from graft.automation.prefect_check import check_named_server
    from graft.automation.prefect_server import URL, running_server

    url, own = os.environ.get(URL), running_server(project)
    if not url or (own and own.url == url):
        found = "this project's own" if own or url else "started by each run"
        yield Finding("Prefect", "note", found, f"Name a server in {URL} to share it")
        return
    check_named_server(url)
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        answer = client._client.get("/admin/version")
        yield Finding("Prefect", "ok", f"{without_credentials(url)} answers, version {answer.json()}")
        yield _clock("Prefect clock", answer.headers.get("date"))
        started = time.monotonic()
        flow = client.create_flow_from_name(PROBE)
        found = client.read_flow(flow)
        client.delete_flow(flow)
        if found.name != PROBE:
            yield Finding("Prefect writes", "bad", "a flow is not read back as it was written", "See the server's log")
        else:
            yield Finding("Prefect writes", "ok", f"a flow written and read back in {time.monotonic() - started:.1f} s")


def _remote(project: Project) -> Iterator[Finding]:
    what, fix = "DVC remote", "dvc remote add --default storage s3://BUCKET/PATH, and commit .dvc/config"
    if not (project.root / ".dvc").is_dir():
        yield Finding(what, "note", "no project of DVC here", "graft init FOLDER")
        return
    from dvc.repo import Repo

    with contextlib.closing(Repo(str(project.root))) as repo:
        name = repo.config["core"].get("remote")
        if not name:
            yield Finding(what, "note", "none: others cannot fetch photographs and results", fix)
            return
        url = repo.config["remote"].get(name, {}).get("url", "")
        if url.startswith("s3://") and importlib.util.find_spec("dvc_s3") is None:
            yield Finding(what, "bad", f"{url} needs dvc-s3, which is not installed", "pip install 'graft[team]'")
            return
        remote = repo.cloud.get_remote(name)
        yield from _written(what, remote.fs.fs, remote.path, without_credentials(url))


def _shared_features(project: Project) -> Iterator[Finding]:
    if not project.params_file.is_file():
        return
    address = load_params(project.params_file).train.store.shared
    if address:
        from graft.networks.features.shared_store import open_address

        yield from _written("shared features", *open_address(address), without_credentials(address))


def _written(what: str, files: Any, root: str, url: str) -> Iterable[Finding]:
    """Yield whether a file below an address comes back as it was written, and how the clock there goes."""
    path, word = f"{root}/.{PROBE}-{secrets.token_hex(8)}", secrets.token_bytes(1024)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        there, back = Path(folder) / "there", Path(folder) / "back"
        there.write_bytes(word)
        try:
            files.put_file(str(there), path)
            written = time.time()
            files.get_file(path, str(back))
            is_same = back.read_bytes() == word
            modified = files.info(path).get("LastModified")
        except Exception as error:
            fix = "See that it runs, that the bucket is there, and who may write there: AWS_ACCESS_KEY_ID, AWS_PROFILE"
            yield Finding(what, "bad", f"{url}: {type(error).__name__}: {str(error)[:200]}", fix)
            return
        finally:
            with contextlib.suppress(Exception):
                files.rm_file(path)
    if not is_same:
        yield Finding(what, "bad", f"{url} gives out something else than was written", "Ask its owner")
        return
    yield Finding(what, "ok", f"{url}, written and read back in {time.monotonic() - started:.1f} s")
    if modified is not None:
        yield _skew(f"{what} clock", modified.timestamp(), written)


def _ray(project: Project) -> Iterator[Finding]:
    """Yield what the cluster has, and whether each of its nodes has the same graft and sees the project."""
    if project.params_file.is_file():
        use_compute(load_params(project.params_file).compute)
    if not ray_address():
        return
    for node, (version, sees) in nodes_of_cluster(project.params_file).items():
        ours = metadata.version("graft")
        if version != ours:
            yield Finding(node, "bad", f"graft {version}, and {ours} here", f"Install the same there: {INSTALL}")
        elif not sees:
            yield Finding(node, "bad", f"{project.root} is not there", "Mount it at the same path on every node")
        else:
            yield Finding(node, "ok", f"graft {version}, and sees the project")


def _clock(what: str, header: str | None) -> Finding:
    """Return how far the clock of an answer's ``Date`` is from ours."""
    if not header:
        return Finding(what, "note", "it says no time", "Nothing, unless promotions disagree about what came first")
    return _skew(what, parsedate_to_datetime(header).timestamp())


def _skew(what: str, theirs: float, ours: float | None = None) -> Finding:
    apart = theirs - (time.time() if ours is None else ours)
    if abs(apart) <= CLOCK_SECONDS:
        return Finding(what, "ok", f"within {CLOCK_SECONDS:.0f} s of ours")
    way = "ahead of" if apart > 0 else "behind"
    return Finding(what, "note", f"{abs(apart):.0f} s {way} ours", "Have both machines take the time from one source")
