"""`graft migrate`: this project's own MLflow store, copied to a server that several people use."""

from typing import Annotated

import typer

from graft.core.environment import configure
from graft.core.progress import console
from graft.core.project import find_project

# What a table's rows are, in words; the others' rows belong to these.
_NAMES = {
    "runs": "runs",
    "logged_models": "models",
    "model_versions": "versions",
    "registered_model_aliases": "aliases",
}


def migrate(
    server: Annotated[
        str, typer.Argument(metavar="SERVER", help="MLflow's server: http://HOST:PORT.", show_default=False)
    ],
    database: Annotated[
        str,
        typer.Option(
            metavar="URI",
            envvar="GRAFT_MIGRATE_DATABASE",
            help="That server's database: postgresql://USER@HOST/NAME. A password is best left to PGPASSWORD or "
            "~/.pgpass: other accounts of this machine see what stands on a command line.",
            show_default=False,
        ),
    ],
) -> None:
    """Copy this project's own MLflow store to a server: runs, models, versions, aliases, tags and files.

    Every row and file is read back and compared. What the server has already stays as it is, so the command may be
    repeated; the local store is only read. Ids stay the same, so nothing has to be trained again.
    """
    from graft.registry.store.migrate_store import migrate_store

    project = find_project()
    configure(project)
    done = migrate_store(project, server, database)
    for table, name in _NAMES.items():
        console.print(
            f"  {name:<9} {done.copied[table]:>7,} copied, {done.equal[table]:,} there already"
            + (f", {done.other[table]:,} changed there since, and left" if done.other[table] else "")
        )
    rows = sum(done.copied.values()) - done.copied["files"]
    equal = sum(done.equal.values()) - done.equal["files"]
    console.print(f"  all rows  {rows:>7,} copied and compared, {equal:,} there already")
    if done.not_taken:
        what = ", ".join(f"{count} of {table}" for table, count in done.not_taken.items())
        console.print(f"Not taken along, since graft writes no such rows: {what}", soft_wrap=True)
    console.print(f"\nNext:\n  export MLFLOW_TRACKING_URI={server}", soft_wrap=True, markup=False)
