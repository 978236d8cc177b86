"""`graft label`: which images to label next, and a page to label them on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli.app import opened
from graft.cli.options import ModelOption, place_to_write
from graft.cli.output import print_next, say, short
from graft.core.errors import GraftError
from graft.core.loopback import HOST
from graft.core.progress import console

if TYPE_CHECKING:
    from graft.core.params import Params
    from graft.core.project import Project
    from graft.deployment.labelling.labelling_task import LabellingTask


def label(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH...", help="Images: files, folders, archives, patterns.", show_default=False),
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Images that the prediction log has kept instead.")] = False,
    inspect: Annotated[
        bool, typer.Option("--inspect", help="Images of data/ that `graft data inspect` calls in doubt instead.")
    ] = False,
    count: Annotated[int, typer.Option(metavar="N", min=1, help="Images to choose.")] = 100,
    model: ModelOption = None,
    label_studio: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write tasks for Label Studio instead of a page.",
            show_default=False,
            callback=place_to_write,
        ),
    ] = None,
    take: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Take labels from a JSON export of Label Studio.", show_default=False),
    ] = None,
    page: Annotated[bool, typer.Option(help="Show the page, or only choose the images.")] = True,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="For a phone, an address it can reach.")] = HOST,
    port: Annotated[int, typer.Option(metavar="PORT", min=1, max=65535, help="Port of the page.")] = 8001,
) -> None:
    """Choose the images that are most worth a label, and label them on a page; the labels go into the inbox.

    Chosen are images that the model is uncertain of and that are unlike each other. Without PATH, --log or --inspect
    the page goes on with those that were chosen before.
    """
    import json

    project, params = opened()
    from graft.deployment.labelling.choose_images import labelling_folder
    from graft.deployment.labelling.labelling_task import LabellingTask, take_annotations

    if bool(paths) + log + inspect > 1:
        raise GraftError("Of PATH, --log and --inspect more than one was named", "Name one of them")
    folder = labelling_folder(project)
    if paths or log or inspect:
        task = _choose(project, params, folder, paths or [], inspect, count, model)
    else:
        task = LabellingTask.read(folder)
    say(f"{task.open_items:,} of {len(task.items):,} images are open, in {short(folder)}")
    if take is not None:
        export = json.loads(take.read_text(encoding="utf-8"))
        say(f"{take_annotations(task, export):,} labels taken")
        say(_finish(project, params, task))
    elif label_studio is not None:
        _write_label_studio(task, label_studio)
    elif page:
        _show(project, params, task, host, port)


def _choose(
    project: Project, params: Params, folder: Path, paths: list[str], inspect: bool, count: int, model: str | None
) -> LabellingTask:
    from graft.deployment.labelling import choose_images
    from graft.deployment.labelling.labelling_task import TASK_FILE, LabellingTask

    if (folder / TASK_FILE).is_file():
        earlier = LabellingTask.read(folder)
        if waiting := sum(one.verdict in ("labelled", "removed") for one in earlier.items):
            raise GraftError(
                f"{waiting} decisions about other images are not put to use yet",
                "Run graft label and press 'into the inbox', or graft data apply; or remove " + str(short(folder)),
            )
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    if inspect:
        from graft.analysis.inspect.inspect_data import inspect_data

        report, _ = inspect_data(project, params, check_labels=True)
        return choose_images.choose_to_inspect(project, folder, report, [one.label for one in report.classes])
    from graft.deployment.monitor.prediction_log import PredictionLog
    from graft.networks.engines.open_classifier import open_classifier
    from graft.registry.resolve import resolve_trained, wanted_decisions

    if paths:
        images = choose_images.files_named(paths)
    else:
        images = choose_images.logged_images(PredictionLog(project.prediction_log, params.monitor.log))
    resolved = resolve_trained(project, model)
    classifier = open_classifier(resolved.bundle, wanted=wanted_decisions(project, resolved))
    return choose_images.choose_to_label(project, folder, images, classifier, count)


def _finish(project: Project, params: Params, task: LabellingTask) -> str:
    """Put the labels into the inbox, and return what to say; of images of data/, say what comes next."""
    from graft.automation.retraining.deliveries import inbox_folder

    if task.kind == "inspect":
        labels, removed = task.changes()
        return f"{len(labels)} other labels, {len(removed)} to remove: graft data apply"
    place = task.deliver(inbox_folder(project, params.retrain.source.inbox))
    return "Nothing is labelled yet." if place is None else f"Delivered: {place.name}. Next: graft retrain"


def _write_label_studio(task: LabellingTask, file: Path) -> None:
    import json

    from graft.deployment.labelling.labelling_task import label_studio_interface, label_studio_tasks

    file.write_text(json.dumps(label_studio_tasks(task), ensure_ascii=False, indent=1), encoding="utf-8")
    interface = file.with_suffix(".xml")
    interface.write_text(label_studio_interface(task.classes), encoding="utf-8")
    say(f"{file} has the tasks, {interface.name} the labelling interface.")
    root = task.folder.parent
    say(f"Label Studio shows the images with LOCAL_FILES_SERVING_ENABLED=true and its document root at {root}")
    say("Its JSON export comes back by: graft label --take FILE")


def _show(project: Project, params: Params, task: LabellingTask, host: str, port: int) -> None:
    import logging

    import uvicorn

    from graft.core.secret import password_for
    from graft.deployment.labelling.labelling_page import create_labelling_app
    from graft.deployment.server import server
    from graft.deployment.server.access import Access

    token = password_for(project, "label")
    app = create_labelling_app(task, Access(host, token), lambda: _finish(project, params, task))
    listener = server.bind(host, port)
    say(f"http://{host}:{port}/#token={token}    a page to label on: keys 1, 2, ...; space skips", highlight=False)
    console.print("Ctrl-C ends it.")
    config = uvicorn.Config(app, log_config=None, log_level=logging.ERROR, access_log=False, server_header=False)
    try:
        uvicorn.Server(config).run([listener])
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()
    say(_finish(project, params, task) if task.kind == "inspect" else f"{task.open_items:,} images are open")
    if task.kind == "inspect":
        print_next("graft data apply")
