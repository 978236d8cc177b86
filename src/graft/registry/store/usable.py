"""Find out, before anything is trained, whether a tracking server can do all that a run will ask of it.

A server may want a password, take requests under some names only, be too old to know models, or keep files on a disk
of its own that it does not share. MLflow's client meets the last two when a trained model is to be written.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from graft.core.errors import GraftError, first_line

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SETTINGS_FILE = "settings.json"
_STATUS = re.compile(r"(?:error code|status code|HTTP|too many) (\d{3})")


def explain(error: Exception, uri: str) -> GraftError:
    """Return what to say where MLflow's client fails at a store, by what the server or driver answers."""
    text = str(error)
    found = _STATUS.search(text)
    status = int(found[1]) if found else None
    server = f"MLflow's server {uri}"
    if "Invalid Host header" in text or (status == 403 and "host" in text.lower()):
        host = urlsplit(uri).netloc.rpartition("@")[2]
        return GraftError(
            f"{server} does not take requests for the name {host}", f"Have it started with --allowed-hosts '{host}'"
        )
    if status == 401:
        named = [name for name in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME") if os.environ.get(name)]
        said = f"does not take that of {named[0]}" if named else "wants a user and password"
        fix = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, as its owner says"
        return GraftError(f"{server} {said}", fix)
    if status == 403:
        return GraftError(f"{server} refuses: {first_line(error)}", "Ask its owner for the right to write there")
    if status == 404 and "logged-models" in text:
        return GraftError(
            f"{server} is older than MLflow 3, and cannot keep models as graft writes them",
            "Have it brought to MLflow 3 (mlflow db upgrade), or unset MLFLOW_TRACKING_URI",
        )
    if status == 404 or "valid JSON" in text or "<html" in text.lower():
        return GraftError(f"{server} answers, but not as MLflow does", "Correct MLFLOW_TRACKING_URI")
    if status is not None and (status == 429 or status >= 500):
        return GraftError(f"{server} answers with the error {status}", "See to it, and run the same command again")
    if isinstance(error, TimeoutError) or "timed out" in text:
        return GraftError(f"{server} is there, but does not answer in time", "See to it, and to the database behind it")
    if "maintenance mode" in text:
        return GraftError(
            f"MLFLOW_TRACKING_URI is {uri}, a folder, and MLflow does not write to folders any longer",
            "Name a database there, sqlite:////PATH/mlflow.db, or unset it: mlflow migrate-filestore takes runs over",
        )
    if "certificate" in text.lower() or "SSL" in text:
        reason = re.search(r"certificate verify failed: ([^(\n]*[^(\s])", text)
        return GraftError(
            f"The certificate of {server} cannot be checked: {reason[1] if reason else first_line(error)}",
            "Name the authority's file in MLFLOW_TRACKING_SERVER_CERT_PATH",
        )
    return GraftError(
        f"MLflow's store {uri} cannot be opened: {first_line(error)}",
        "Check MLFLOW_TRACKING_URI, free disk space, and that the folder can be written",
    )


def require_models(client: MlflowClient, experiment: str, uri: str) -> None:
    """Raise a GraftError where a server does not know models, as MLflow 2 does not."""
    try:
        client.search_logged_models(experiment_ids=[experiment], max_results=1)
    except Exception as error:
        raise explain(error, uri) from error


def require_files(client: MlflowClient, run: Run, settings: Mapping[str, Any], uri: str, is_served: bool) -> None:
    """Write a run's settings as a file where its model is going to be, and read them back.

    Args:
        settings: JSON-ready; they become the run's artifact ``settings.json``.
        is_served: whether a server is to give the file out where it is on a local disk: it may be another machine's.

    Raises:
        GraftError: files cannot be written there, or not read back as they were.
    """
    from mlflow.artifacts import load_text
    from mlflow.utils.uri import is_local_uri

    place = run.info.artifact_uri
    on_its_disk = is_served and is_local_uri(place)
    text = json.dumps(settings, indent=1, default=str)
    try:
        client.log_text(run.info.run_id, text, SETTINGS_FILE)
        found = _given_out(uri, run.info.run_id) if on_its_disk else load_text(f"{place}/{SETTINGS_FILE}")
    except Exception as error:
        reason, found = first_line(error), None
    else:
        reason = "what is read back is not what was written"
    if found == text:
        return
    if on_its_disk:
        from mlflow.utils.file_utils import local_file_uri_to_path

        with contextlib.suppress(OSError):
            shutil.rmtree(Path(local_file_uri_to_path(place)))  # on this machine, where nobody would look for it
        raise GraftError(
            f"MLflow's server {uri} has clients put files into {place}, a folder of its own machine ({reason})",
            "Have it started with --serve-artifacts and --artifacts-destination FOLDER, and delete this experiment or "
            "rename it: where the files of an experiment lie is settled when it is made",
        )
    raise GraftError(
        f"MLflow's files cannot be written to {place} and read back: {reason}",
        "See to the rights and credentials for that place; nothing has been trained yet",
    )


def _given_out(uri: str, run_id: str) -> str:
    """Return the file as the server gives it out, to its pages for example."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    answer = http_request(
        get_default_host_creds(uri),
        "/get-artifact",
        "GET",
        params={"run_uuid": run_id, "run_id": run_id, "path": SETTINGS_FILE},
        raise_on_status=False,
        max_retries=0,
    )
    if answer.status_code != 200:
        raise OSError(f"it answers {answer.status_code} where the file is asked for")
    return str(answer.text)
