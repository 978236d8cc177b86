"""`graft prune`: what nobody needs any more, and its removal."""

from typing import Annotated

import typer

from graft.cli.app import opened
from graft.cli.output import print_next, print_table, say, table_of
from graft.core.lock import project_lock, retraining_lock
from graft.core.progress import console


def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this nothing is changed.")] = False,
) -> None:
    """Show what nobody needs any more, with its size and the reason; with --yes, remove it.

    Superseded model versions and their files, models of MLflow's that are of no version, deleted runs, what DVC's
    cache holds and no commit names, deliveries that were put away, logs, and what kills have left. What an alias, the
    line of champions, a commit or the project's folder names stays; `prune` in params.yaml says for how long the rest
    does.
    """
    from graft.automation.prune.pruning import find_leftovers, in_words, remove_leftovers

    project, params = opened()
    with retraining_lock(project), project_lock(project):
        found = find_leftovers(project, params)
        if not found:
            say("Nothing to prune.")
            return
        table = table_of("=what", "~name", ">size", "why")
        for one in found:
            table.add_row(one.kind, one.name, in_words(one.bytes), one.reason)
        print_table(table, "why")
        if yes:
            say(remove_leftovers(found))
            return
    console.print(f"{in_words(sum(one.bytes for one in found))} in all; nothing was removed.")
    print_next("graft prune --yes")
