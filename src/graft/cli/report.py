"""`graft report` and `graft card`: what a run came to, as one page and as a model card."""

from pathlib import Path
from typing import Annotated

import typer

from graft.cli import completion
from graft.cli.app import opened
from graft.cli.options import place_to_write
from graft.cli.output import messages_aside, say, short

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        metavar="NAME",
        help="A strategy or ensemble that is evaluated. By default what is registered.",
        show_default=False,
        autocompletion=completion.evaluated,
    ),
]


def report(
    strategy: ModelOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where to write it; by default artifacts/report/NAME.html.",
            show_default=False,
            callback=place_to_write,
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write all that is known of a model as one page that opens anywhere, without a network.

    Data and split, what was tried, the comparison, what it gets wrong and why, how far to believe it, what it must not
    be used for, and how to make it again. `graft run` writes it too; this takes seconds.
    """
    from graft.registry.report.write_report import write_report

    project, params = opened()
    written = write_report(project, params, strategy, out)
    say(f"The report on {written.model}: {short(written.page)} ({written.size / 1e6:.1f} MB)")
    if open_page:
        import webbrowser

        if not webbrowser.open(written.page.absolute().as_uri()):
            say("No browser could be opened here: open the page by hand.")


def card(
    strategy: ModelOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write it there; by default print it.", show_default=False, callback=place_to_write
        ),
    ] = None,
) -> None:
    """Show the model card: Markdown with the metadata that Hugging Face's hub reads."""
    from graft.core.files import write_file

    project, params = opened()
    with messages_aside(True):
        from graft.registry.report.write_report import card_of

        text = card_of(project, params, strategy)
    if out is None:
        print(text, end="")
        return
    write_file(out, text)
    say(f"The model card: {short(out)}")
