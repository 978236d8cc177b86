"""`graft serve`: the champion over HTTP, with a page to drop photographs on."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from graft.cli import completion
from graft.cli.app import opened
from graft.cli.options import LogOption
from graft.cli.output import say
from graft.core.errors import EXIT_FAILURE, GraftError
from graft.core.loopback import HOST
from graft.core.progress import console
from graft.core.secret import password_for

# A registry that does not answer must neither hold up the end of the server nor hide for minutes; MLflow's own
# limits are 120 s and 7 tries.
REGISTRY_LIMITS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "15", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on. The default is this machine alone.")
    ] = HOST,
    port: Annotated[int, typer.Option(metavar="PORT", help="Port to listen on.", min=1, max=65535)] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="GRAFT_TOKEN",
            metavar="SECRET",
            help="Secret that requests must carry; by default one of the project's own, which is printed. Better set "
            "in the environment: other users can see a command line.",
            show_default=False,
        ),
    ] = None,
    no_token: Annotated[
        bool,
        typer.Option(
            "--no-token",
            help="Answer every program and account of this machine without a token. Loopback only; pages of other "
            "sites are refused.",
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            autocompletion=completion.models,
            help="models:/NAME@ALIAS, which is watched; or models:/NAME/VERSION or a model's folder, which are not. "
            "By default the champion of this data set.",
            show_default=False,
        ),
    ] = None,
    log: LogOption = None,
    shadow: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Another model, such as challenger, that is asked too: for the log alone, behind the answers.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=64,
            help="Processes that answer on the one port. Each has the model in memory, and the limits of params.yaml.",
        ),
    ] = 1,
    webhook_secret: Annotated[
        str,
        typer.Option(
            envvar="GRAFT_WEBHOOK_SECRET",
            metavar="SECRET",
            help="Of a webhook of MLflow's server, which then says when there is a new champion. Better set in the "
            "environment.",
            show_default=False,
        ),
    ] = "",
    prefix: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="Of paths behind a proxy that hands them on whole, such as /graft; not needed where it takes them "
            "away.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Serve the champion: photographs in, label and probabilities out, until Ctrl-C.

    A new champion is taken up within seconds, without a request being dropped. Limits are in params.yaml, section
    serve.
    """
    import logging

    from graft.deployment.server.access import Access

    if no_token and token is not None:
        raise GraftError("There is a token, and --no-token too", "Unset GRAFT_TOKEN, or leave --no-token out")
    if prefix and (not prefix.startswith("/") or prefix.endswith("/") or "//" in prefix):
        raise GraftError(f"The prefix {prefix!r} is no path", "Write it as /graft")
    project, params = opened()
    own_token = "" if no_token or token is not None else password_for(project, "serve")
    access = Access(host, own_token or token)
    for name, value in REGISTRY_LIMITS.items():
        os.environ.setdefault(name, value)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("graft.deployment.server").setLevel(logging.INFO)
    if workers > 1:
        # Before Prometheus' client is imported, which looks at it then.
        counted = Path(tempfile.mkdtemp(prefix="graft-metrics-"))
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(counted)
    from graft.deployment.server import server
    from graft.deployment.server.log_writer import prediction_log

    settings = params.monitor.log
    predictions = prediction_log(project, settings, log)
    if shadow is not None and workers > 1:
        raise GraftError("A model in the shadow runs beside one process alone", "Leave out --workers, or --shadow")
    if shadow is not None and predictions is None:
        raise GraftError("A model in the shadow answers for the log, and there is none", "Add --log")
    if shadow is not None and "/" not in shadow:
        from graft.registry.resolve import model_name

        shadow = f"models:/{model_name(project)}@{shadow}"
    logs = predictions is not None
    listener = server.bind(host, port)
    # A supervisor ends a service with SIGTERM, a user with Ctrl-C; uvicorn sends either on when all is answered.
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, signal.default_int_handler)
    address = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    if own_token:
        # Behind a #, which browsers send to nobody; the page takes it from there. A token that was given is not shown.
        address += f"#token={own_token}"
    header = "" if no_token else " with the header Authorization: Bearer TOKEN"
    for line in (f"{address}    a page to drop photographs on", f"Programs POST to /predict{header}."):
        say(line, highlight=False)
    if predictions is not None:
        kept = "with the images" if settings.keep_images else "without the images"
        say(f"Predictions are logged in {predictions.folder}, {kept}.")
    console.print("Ctrl-C ends it.")
    if workers > 1:
        from prometheus_client.multiprocess import mark_process_dead

        from graft.deployment.server.workers import run_workers

        def work() -> None:
            own_log = prediction_log(project, settings, log) if logs else None
            server.serve(project, params.serve, access, listener, model, own_log, shadow, prefix, webhook_secret)

        try:
            code = run_workers(workers, partial(_failing_in_words, work), mark_process_dead)
        finally:
            shutil.rmtree(counted, ignore_errors=True)
        console.print("Ended.")
        raise typer.Exit(code)
    try:
        server.serve(project, params.serve, access, listener, model, predictions, shadow, prefix, webhook_secret)
    except KeyboardInterrupt:
        console.print("Ended.")


def _failing_in_words(work: Callable[[], None]) -> None:
    """Do a worker's work; say why it fails, and end with the exit code for that."""
    try:
        work()
    except GraftError as error:
        say(str(error), style="red")
        raise SystemExit(EXIT_FAILURE) from None
