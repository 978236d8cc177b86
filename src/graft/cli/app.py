"""What all commands have in common: how help reads, what a mistyped option is answered with,
and what most begin with.

Every ``typer.Typer`` of graft is a :class:`Commands`, so that one place decides for the whole tree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.exceptions import TyperException

from graft.core.errors import did_you_mean

if TYPE_CHECKING:
    from graft.core.params import Params
    from graft.core.project import Project

_STAGES = ("validate", "split", "choose", "train", "ensemble", "evaluate", "register")  # which are no commands


class _Shared:
    """Help whose paragraphs fill the width of the terminal, flags that show no type, and errors with the right name."""

    help: str | None

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        if self.help:
            # The line ends of a docstring would stay in all paragraphs but the first.
            self.help = "\n\n".join(" ".join(part.split()) for part in self.help.split("\n\n"))

    def get_params(self, ctx: Any) -> list[Any]:
        params = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if isinstance(param, TyperOption) and param.is_flag:
                param.metavar = ""  # else <bool>, as if a value belonged behind it
            elif isinstance(param, TyperArgument):
                vars(param)["display_type_rich"] = lambda ctx: None  # else <list[Path]> behind PATH
        return params

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)  # type: ignore[misc]
        except TyperException as error:
            name = getattr(error, "option_name", None)
            if name is None or not error.message.startswith("No such option"):
                raise
            options = {option for param in self.get_params(ctx) for option in param.opts}
            error.message = f"{error.message}. {did_you_mean(name, options)}"
            error.possibilities = None  # type: ignore[attr-defined]
            raise


class _Command(_Shared, TyperCommand):
    """A command that answers a mistyped option with the nearest one there is."""


class _Group(_Shared, TyperGroup):
    """A group of commands that answers a mistyped name with the nearest one there is."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if ctx.parent is None and args[0] in _STAGES:
            ctx.fail(f"'{args[0]}' is a stage of the pipeline: graft run {args[0]}")
        if args[0] == "help":
            args = [*args[1:], "--help"]
            if len(args) == 1:
                print(ctx.get_help())
                ctx.exit()
        return super().resolve_command(ctx, args)


class Commands(typer.Typer):
    """A Typer whose commands and groups share their manners; subclasses of Typer's own are taken from here."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            cls=_Group,
            no_args_is_help=True,
            pretty_exceptions_enable=False,
            rich_markup_mode="rich",
            context_settings={"help_option_names": ["-h", "--help"]},
            **settings,
        )

    def command(self, name: str | None = None, **settings: Any) -> Callable[..., Any]:
        return super().command(name, **{"cls": _Command, **settings})

    def callback(self, **settings: Any) -> Callable[..., Any]:
        return super().callback(**{"cls": _Group, **settings})


def opened() -> tuple[Project, Params]:
    """Return the project and its params, and prepare this process for both.

    Raises:
        GraftError: there is no project here, or its params are wrong.
    """
    from graft.core.cluster import use_compute
    from graft.core.environment import configure
    from graft.core.params import load_params
    from graft.core.project import find_project

    project = find_project()
    configure(project)
    params = load_params(project.params_file)
    use_compute(params.compute)
    return project, params
