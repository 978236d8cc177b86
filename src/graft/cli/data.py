"""`graft data`: what data sets there are, bringing one into data/, and seeing what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli import completion
from graft.cli.app import Commands, opened
from graft.cli.options import JsonOption
from graft.cli.output import messages_aside, print_next, say, short, table_of
from graft.core.errors import GraftError
from graft.core.progress import console
from graft.core.project import find_project
from graft.core.wording import counted

if TYPE_CHECKING:
    from graft.data.sources.importing import Imported

# Imports of graft.data stand in the commands: `graft --help` should not wait for Pillow and pydantic.
app = Commands(help="See which data sets there are, bring one into data/, and look at it.")

_AVAILABLE = {
    "here": "[green]here[/]",
    "reachable": "[green]reachable[/]",
    "unreachable": "[yellow]no answer[/]",
    "by hand": "[yellow]by hand[/]",
}

Replace = Annotated[bool, typer.Option("--replace", help="Put it in the place of what is in data/; DVC keeps that.")]


@app.command("list", epilog="Example: graft data list")
def list_data_sets() -> None:
    """Show every data set of the catalogue, and whether it can be had right now."""
    from rich.markup import escape

    from graft.data.folder.swap import is_empty
    from graft.data.folder.versioning import dataset_name
    from graft.data.sources.catalogue import availability, read_catalogue

    project = find_project()
    current = None if is_empty(project.data) else dataset_name(project)
    with console.status("Asking where the data sets are published"):
        available = availability(project)
    table = table_of("=", "=", "")
    for name, entry in read_catalogue().items():
        in_data = "\nin data/ now"
        size = entry.sources[0].megabytes
        figures = f"{entry.class_count} classes, {entry.images:,} images, {size:g} MB, {entry.split.method} split"
        groups = f"\ngroups: {entry.groups}" if entry.groups else ""
        notice = f"\n[yellow]{escape(entry.notice)}[/]" if entry.notice else ""
        origin = "\n   or ".join(source.origin for source in entry.sources)
        table.add_row(
            f"[bold]{name}[/]{in_data if name == current else ''}",
            _AVAILABLE[available[name]],
            f"{entry.title}\n{figures}\nlicence: {escape(entry.licence)}{notice}{groups}\n[dim]from {origin}[/]",
            end_section=True,
        )
    console.print(table)
    if current is not None and current not in available:
        console.print(f"data/ holds '{current}', images of your own.")
    if {"unreachable", "by hand"} & set(available.values()):
        console.print("What does not answer can come from a copy: graft data use NAME --from PATH")
    print_next("graft data use NAME", "graft data import FOLDER_OR_ARCHIVE")


@app.command(epilog="Example: graft data use rock_paper_scissors --from ~/Downloads/rock_paper_scissors.zip")
def use(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A name from `graft data list`.",
            show_default=False,
            autocompletion=completion.data_sets,
        ),
    ],
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="PATH", help="A local copy, archive or folder, to take instead of fetching it."),
    ] = None,
    replace: Replace = False,
) -> None:
    """Bring a data set of the catalogue into data/."""
    from graft.data.sources import catalogue

    _report(catalogue.use(find_project(), name, source, replace=replace))


@app.command("import", epilog="Example: graft data import ~/Pictures/flowers --name flowers")
def import_data(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A folder with one folder per class (or with train/, val/, test/ and these inside), a zip or "
            "tar archive of such a folder, or a CSV or Parquet table with the columns path and label and, "
            "if you like, split and group.",
            show_default=False,
        ),
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to call the data set; by default as its folder or archive.")
    ] = None,
    replace: Replace = False,
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of names in an archive, folder or table that are not in UTF-8, such as gbk, shift_jis or cp850.",
            show_default=False,
        ),
    ] = None,
    labels_from_names: Annotated[
        bool, typer.Option("--labels-from-names", help="The files' names say the classes: cat.1.jpg, dog_2.jpg.")
    ] = False,
) -> None:
    """Bring your own images into data/. They are copied; what you have stays as it is."""
    from graft.data.sources.importing import import_images

    project = find_project()
    imported = import_images(
        project, path, name=name, replace=replace, encoding=encoding, labels_from_names=labels_from_names
    )
    _report(imported)


@app.command(epilog="Example: graft data inspect --open")
def inspect(
    page: Annotated[bool, typer.Option("--page/--no-page", help="Write the page, or only print the table.")] = True,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    as_json: JsonOption = False,
    labels: Annotated[
        bool | None,
        typer.Option(
            "--labels/--no-labels",
            help="Look for label errors; by default where that takes a minute at most.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """See what is in data/: classes, copies, near-duplicates, outliers, likely label errors, as table and page."""
    import json

    from graft.analysis.inspect.inspect_data import inspect_data
    from graft.analysis.inspect.inspect_page import write_page
    from graft.analysis.inspect.terminal import as_table

    if open_page and not page:
        raise GraftError("--open and --no-page contradict each other", "Leave one of them away")
    project, params = opened()
    target = project.inspection / "index.html"
    with messages_aside(as_json):
        report, images = inspect_data(project, params, check_labels=labels)
        if page:
            size = write_page(target, report, images, project.data, params.validate_.max_pixels)
    if as_json:
        print(json.dumps({**report.as_json(), "page": str(target) if page else None}, indent=2))
    else:
        console.print()
        console.print(as_table(report))
    if page and not as_json:
        console.print(f"\nThe page: [bold]{short(target)}[/] ({size / 1e6:.1f} MB)", soft_wrap=True)
    if open_page:
        import webbrowser

        if not webbrowser.open(target.as_uri()) and not as_json:
            console.print("No browser could be opened here: open the page by hand.")


@app.command(epilog="Example: graft data apply")
def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Apply what was decided on the page of `graft label --inspect`: labels corrected, images removed from data/.

    DVC keeps what was there; `graft history --data` shows it.
    """
    from datetime import UTC, datetime

    from graft.automation.retraining.data_changes import DataChanges, apply_changes, effective, places_of
    from graft.automation.retraining.outcome import DeliveryOutcome, Outcome
    from graft.automation.retraining.retrain_history import add_outcome
    from graft.core.lock import project_lock
    from graft.data.folder.versioning import dataset_name
    from graft.data.scan.manifest import read_manifest
    from graft.deployment.labelling.choose_images import labelling_folder
    from graft.deployment.labelling.labelling_task import LabellingTask

    project, _ = opened()
    task = LabellingTask.read(labelling_folder(project))
    if task.kind != "inspect":
        raise GraftError("What was labelled are new images", "Put them into the inbox: graft label, then graft retrain")
    labels, removed = task.changes()
    rows = read_manifest(project.manifest, columns=("path", "sha256", "label"))
    wanted = DataChanges(sorted(task.added), labels, set(), set(), removed)
    changes, notes = effective(wanted, dict(zip(rows["sha256"], rows["label"], strict=True)), ())
    for note in notes:
        say(note)
    words = ", ".join(changes.in_words()) or "nothing to do"
    if dry_run or not changes:
        say(f"{words}.".capitalize())
        return
    with project_lock(project):
        apply_changes(project, changes, places_of(rows))
        done = DeliveryOutcome("graft data apply", "taken in", reasons=[f"{words}.".capitalize()])
        at = datetime.now(UTC).isoformat(timespec="seconds")
        add_outcome(project, Outcome(at, dataset_name(project), deliveries=[done]))
        task.items = [one for one in task.items if one.verdict not in ("labelled", "removed")]
        task.write()
    say(f"{words}.".capitalize())
    print_next("graft run")


def _report(imported: Imported) -> None:
    from rich.markup import escape

    from graft.analysis.inspect.terminal import MAX_CLASSES
    from graft.data.sources.readers.folders import by_suffix

    table = table_of("class", *(f">{split or 'images'}" for split in imported.counts))
    labels = sorted({label for classes in imported.counts.values() for label in classes})
    for label in labels[:MAX_CLASSES]:
        table.add_row(escape(label), *(f"{classes.get(label, 0):,}" for classes in imported.counts.values()))
    if len(labels) > MAX_CLASSES:
        table.add_row(f"[dim]{len(labels) - MAX_CLASSES:,} more[/]")
    console.print(table)
    console.print(f"data/ now holds [bold]{imported.dataset}[/]: {imported.images:,} images.")
    if others := [name for name, why in imported.left_out.items() if not why]:
        of_class: dict[str, list[str]] = {}
        for name in others:
            label = next((f" of {part}" for part in name.split("/")[:-1] if part in labels), "")
            of_class.setdefault(label, []).append(name)
        kinds = "; ".join(f"{by_suffix(some)}{label}" for label, some in sorted(of_class.items()))
        console.print(f"{counted(len(others), 'file')} left out: {escape(kinds)}.", soft_wrap=True)
    reasons: dict[str, list[str]] = {}
    for name, why in imported.left_out.items():
        reasons.setdefault(why, []).append(name)
    for why in sorted(reasons.keys() - {""}):
        words = f"Left out for being {why}: {len(reasons[why]):,}, for example {reasons[why][0]}."
        console.print(f"[yellow]{escape(words)}[/]", soft_wrap=True)
    for note in imported.notes:
        console.print(f"[yellow]{escape(note)}.[/]", soft_wrap=True)
    if imported.split_settings:
        console.print("Split settings that fit, for params.yaml:")
        lines = "".join(f"\n  {key}: {_as_yaml(value)}" for key, value in imported.split_settings.items())
        say(f"split:{lines}")
    if imported.replaced:
        pointer = short(imported.replaced)
        console.print(f"What was there comes back with: cp {pointer} data.dvc && dvc checkout data.dvc", soft_wrap=True)
    print_next("graft run", "git add data.dvc && git commit")


def _as_yaml(value: object) -> str:
    # Between single quotes a backslash is a backslash.
    return f"'{value}'" if isinstance(value, str) and not value.isidentifier() else str(value)
