"""`graft init` and `graft upgrade`: a project of one's own, and its files brought to another version of graft."""

from pathlib import Path
from typing import Annotated

import typer

from graft.cli.output import short
from graft.core.errors import EXIT_FAILURE
from graft.core.progress import console
from graft.core.project import find_project


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A folder that is new or empty.", show_default=False)
    ],
    remote: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Where `dvc push` puts photographs and results for others: s3://BUCKET/PATH, or another address or "
            "folder that DVC takes.",
        ),
    ] = "",
    endpoint: Annotated[
        str,
        typer.Option(
            metavar="URL", envvar="AWS_ENDPOINT_URL", help="With an s3:// remote: the server, where it isn't Amazon's."
        ),
    ] = "",
) -> None:
    """Make a project of a folder: settings, pipeline and flows, under git and DVC, ready for photographs."""
    import shlex

    from rich.markup import escape

    from graft import __version__
    from graft.automation.projects.init_project import init_project

    with console.status("Making the project"):
        project = init_project(folder, remote, endpoint if remote.startswith("s3://") else "")
    console.print(f"[bold]{escape(project.root.name)}[/] is a project of graft {__version__} now.", soft_wrap=True)
    is_here = project.root == Path.cwd()
    commands = [
        *([] if is_here else [(f"cd {shlex.quote(str(short(project.root)))}", "")]),
        ("graft data import FOLDER", "photographs of your own, a folder for each class"),
        ("graft run", "everything from them to a registered model"),
        ("graft doctor", "what this machine has of what that takes"),
        *([("graft doctor --services", "whether the servers it names can be used")] if remote else []),
    ]
    console.print("\nNext:")
    width = max(len(command) for command, _ in commands)
    for command, purpose in commands:
        gap = " " * (width - len(command) + 2) if purpose else ""
        console.print(f"  {escape(command)}{gap}[dim]{purpose}[/]", soft_wrap=True)
    console.print("\nWhat can be set stands in params.yaml, with the reasons.")


def upgrade(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
) -> None:
    """Bring this project's files to the graft that is installed; what you changed in them stays.

    Files that both have changed are merged line by line. Where both changed the same lines, these are marked in the
    file, which is named, and the exit code is 1.
    """
    from graft.automation.projects.upgrade_project import upgrade_project

    done = upgrade_project(find_project(), dry_run)
    versions = f"graft {done.before} to {done.after}" if done.before != done.after else f"graft {done.after}"
    if not done.changes:
        console.print(f"{versions}: the files are as this version makes them, apart from what you changed.")
        return
    console.print(f"{versions}{': what would change' if dry_run else ''}")
    width = max(len(one.change) for one in done.changes)
    for one in done.changes:
        console.print(
            f"  {one.change:<{width}}  {one.path}", style="red" if one.change == "conflict" else "", markup=False
        )
    if done.conflicts:
        names = ", ".join(done.conflicts)
        what = "Lines that both changed would be marked in" if dry_run else "Choose between the marked lines in"
        console.print(f"\n{what} {names}{'.' if dry_run else '; then: graft run'}", soft_wrap=True, markup=False)
        if not dry_run:
            raise typer.Exit(EXIT_FAILURE)
    elif not dry_run:
        console.print("\nNext:\n  git diff\n  graft run    [dim]makes again what the other version made[/]")
