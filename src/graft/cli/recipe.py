"""`graft recipe`: experiments of the field as ready-made settings, to look at and to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli import completion
from graft.cli.app import Commands
from graft.cli.output import print_next, say, short, table_of
from graft.core.progress import console
from graft.core.project import Project, find_project

if TYPE_CHECKING:
    from graft.core.recipes import Recipe

# Imports of graft.core.recipes stand in the commands: `graft --help` should not wait for pydantic and YAML.
app = Commands(help="See experiments of the field with what they reach, and take one's settings.")

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A name from `graft recipe list`.", show_default=False, autocompletion=completion.recipes
    ),
]


@app.command("list", epilog="Example: graft recipe list")
def list_recipes() -> None:
    """Show every recipe: what it is, its data set, and what to expect of it."""
    from rich.markup import escape

    from graft.core.recipes import read_recipe, recipe_names

    table = table_of("=", "", padding=(0, 1, 1, 0))
    for name in recipe_names():
        recipe = read_recipe(name)
        measured = recipe.records["Measured"]
        label = "" if measured.startswith("not measured") else "[dim]measured[/] "
        table.add_row(
            f"[bold]{name}[/]",
            f"{escape(recipe.title)}\n[dim]data set[/] {recipe.data}\n"
            f"[dim]published[/] {escape(recipe.records['Published'])}\n"
            f"{label}{escape(measured)}",
        )
    console.print(table)
    print_next("graft recipe show NAME", "graft recipe use NAME")


@app.command(epilog="Example: graft recipe show rock_paper_scissors_frozen")
def show(name: Name) -> None:
    """Print a recipe as it is: what was published and measured, where and how, and its settings."""
    from graft.core.recipes import read_recipe

    recipe = read_recipe(name)
    if not console.is_terminal:
        print(recipe.text, end="")
        return
    from rich.syntax import Syntax

    console.print(Syntax(recipe.text.rstrip(), "yaml", theme="ansi_dark", background_color="default", word_wrap=True))


@app.command(epilog="Example: graft recipe use rock_paper_scissors_frozen")
def use(name: Name) -> None:
    """Put a recipe's settings into params.yaml; a copy of what they replace is saved, all other settings stay."""
    import shlex

    from graft.core.recipes import read_recipe
    from graft.core.recipes.use import use_recipe

    recipe = read_recipe(name)
    project = find_project()
    state, bring = _data_state(project, recipe)  # a broken data.dvc is refused before anything is written
    backup = use_recipe(project, recipe)
    if not recipe.sections:
        console.print(f"[bold]{name}[/] has nothing to set: params.yaml stays as it is.")
    elif backup is None:
        console.print(f"params.yaml already holds [bold]{name}[/]: nothing was written.")
    else:
        sections = " and ".join(recipe.sections)
        # Ensembles are of strategies, see graft.core.recipes.with_recipe.
        without = ", and no ensembles" if "train" in recipe.sections and "ensemble" not in recipe.sections else ""
        console.print(
            f"params.yaml now holds {sections} of [bold]{name}[/]{without}; other sections stay.", soft_wrap=True
        )
        back = " ".join(shlex.quote(str(short(path))) for path in (backup, project.params_file))
        say(f"What was there comes back with: cp {back}")
    console.print(state, soft_wrap=True)
    command = "graft run" if recipe.sections else recipe.records["Command"]
    print_next(f"{bring} && {command}" if bring else command)


def _data_state(project: Project, recipe: Recipe) -> tuple[str, str]:
    """Return whether data/ holds the recipe's data set, in words, and the command that brings it, or ""."""
    from rich.markup import escape

    from graft.data.folder.swap import is_empty
    from graft.data.folder.versioning import dataset_name

    if is_empty(project.data):
        return f"data/ is empty; the recipe is for {recipe.data}.", f"graft data use {recipe.data}"
    held = dataset_name(project)
    if held == recipe.data:
        return f"data/ holds {held}, as it should.", ""
    return (f"data/ holds {escape(held)}; the recipe is for {recipe.data}.", f"graft data use {recipe.data} --replace")
