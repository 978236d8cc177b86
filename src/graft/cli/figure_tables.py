"""Tables of figures that several commands print: each with its interval, and models against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from graft.cli.output import print_table, say, table_of
from graft.core.progress import console

if TYPE_CHECKING:
    from graft.evaluation.compare_models import ModelComparison
    from graft.evaluation.comparison import Comparison
    from graft.evaluation.headline import Figure, Headline

# By figure: how its value and the ends of its interval are written, each end in the unit of the value.
_FORMS = {
    "accuracy": ("{:.2%}", "{:.1f}", 100),
    "macro_f1": ("{:.4f}", "{:.3f}", 1),
    "log_loss": ("{:.4f}", "{:.3f}", 1),
}
_NAMED = 5  # images that models disagree on


def figure_in_words(name: str, figure: Figure) -> str:
    """Return a figure as ``97.66% [95.2, 98.9]``; without the interval where there is none."""
    form, end, factor = _FORMS[name]
    text = form.format(figure.value)
    if figure.interval is None:
        return text
    return f"{text} [{end.format(factor * figure.interval.low)}, {end.format(factor * figure.interval.high)}]"


def difference_in_words(found: Comparison) -> str:
    """Return a difference in accuracy in points, as ``+1.25 [-0.4, +2.9]``."""
    return f"{100 * found.difference:+.2f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def print_figures(rows: Mapping[str, Headline], more: Mapping[str, Mapping[str, str]], bold: str = "") -> None:
    """Print a row of test figures for each model, and what the intervals are.

    Args:
        rows: by model.
        more: further columns, text by model; the last go first where the terminal is narrow.
        bold: the model whose row is green.
    """
    columns = [f"{'>' if name == 'seconds' else '='}\n{name}" for name in more]
    table = table_of("~\nmodel", "=test\naccuracy", "=\nmacro-F1", "=log\nloss", *columns)
    for name, one in rows.items():
        figures = (figure_in_words(key, figure) for key, figure in one.figures.items())
        table.add_row(name, *figures, *(texts[name] for texts in more.values()), style="green" if name == bold else "")
    console.print()
    print_table(table, *(f"\n{name}" for name in reversed(list(more))), "log\nloss")
    counted = next((one for one in rows.values() if one.images is not None), None)
    if counted is not None:
        say(f"Test: {images_in_words(counted.images, counted.groups)}. In brackets: 95 % intervals.")


def images_in_words(images: int | None, groups: int | None) -> str:
    """Return ``297 images in 12 groups``; without the groups where each image is one."""
    return f"{images:,} images" + (f" in {groups:,} groups" if groups not in (None, images) else "")


def print_comparison(found: ModelComparison) -> None:
    """Print each model against the reference: the difference in accuracy, and whether it is one."""
    table = table_of(
        f"~against {found.reference}",
        "=points of\naccuracy",
        "=log\nloss",
        ">only it\nright",
        ">only the\nother",
        ">McNemar\np",
        "=\nanswer",
    )
    for one in found.differences:
        difference, loss = one.comparison, one.log_loss_interval
        table.add_row(
            one.name,
            difference_in_words(difference),
            f"{one.log_loss:+.3f} [{loss.low:+.3f}, {loss.high:+.3f}]",
            str(difference.only_candidate_right),
            str(difference.only_champion_right),
            f"{difference.mcnemar_p:.2g}",
            difference.answer,
        )
    console.print()
    print_table(table, "log\nloss", "McNemar\np", "only the\nother", "only it\nright")


def print_disagreements(found: ModelComparison, paths: Mapping[str, str], most: int = _NAMED) -> None:
    """Print how many images the models disagree on, and the first of them.

    Args:
        paths: of images by SHA-256, where there are any.
    """
    table = found.disagreements
    say(f"\nThey disagree on {len(table):,} of {images_in_words(found.images, found.groups)}.")
    for row in table[:most].to_dict("records"):
        digest, label = row.pop("sha256"), row.pop("label")
        predicted = ", ".join(f"{name}: {text}" for name, text in row.items())
        say(f"  {paths.get(digest, digest[:12])} is {label}; {predicted}")
    if len(table) > most:
        say(f"  and {len(table) - most:,} more; --out FILE.csv writes them all")
