"""The advice to look at: a table on the terminal, a record and a plot as files."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from graft.core.files import write_file
from graft.core.illustration import DPI, illustration, new_figure
from graft.core.params.strategy_params import FrozenParams
from graft.core.progress import console

if TYPE_CHECKING:
    from graft.analysis.advisor.advise import Advice

RECORD_FILE = "advice.json"
PLOT_FILE = "advice.png"


def print_advice(advice: Advice) -> None:
    """A table of depths, what is recommended, and why."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("backbone", "depth"):
        table.add_column(column, overflow="fold")
    for column in ("layers below", "error", "log loss"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in advice.measured:
        for index, score in enumerate(one.scores):
            table.add_row(
                one.backbone.name if index == 0 else "",
                score.depth.layer,
                f"{score.depth.share:.0%}",
                f"{1 - score.accuracy:.2%}",
                f"{score.log_loss:.3f}",
                style="green" if one is advice.chosen and index == one.best else "",
            )
    seen = f"{advice.looked_at:,} of {advice.images:,} training images"
    console.print(
        f"\nA linear classifier at each depth, on images that it has not seen, of {seen}:", soft_wrap=True
    )
    console.print(table)
    console.print(f"Advice: {summary(advice)}", soft_wrap=True, markup=False)
    for reason in advice.reasons():
        console.print(f"  {reason}", soft_wrap=True, markup=False)
    thumb = advice.thumb
    console.print(
        f"  rule of thumb ({thumb.size}, {thumb.likeness}): {thumb.advice}", soft_wrap=True, markup=False
    )


def summary(advice: Advice) -> str:
    """The recommended strategy in a line."""
    strategy = advice.strategy
    assert strategy.backbone is not None  # always named
    if isinstance(strategy, FrozenParams):
        return f"frozen, the head alone on {strategy.backbone.name}, mirrored {strategy.flip}"
    start = "all of" if strategy.unfreeze == "all" else f"the last {strategy.unfreeze} layers of"
    return (
        f"fine_tune, {start} {strategy.backbone.name}, rate {strategy.learning_rate:g}, {strategy.epochs} epochs, "
        f"{strategy.views} views, mirrored {strategy.augment.flip}"
    )


def settings_text(advice: Advice) -> str:
    """The recommended strategy as lines of params.yaml; what it shares with all others is left to them."""
    import io

    from ruamel.yaml import YAML

    shared = {"image_size", "seed", "precision", "kind", "backbone"}
    settings = advice.strategy.model_dump(mode="json", exclude_defaults=True, exclude=shared)
    named = {"kind": advice.strategy.kind, "backbone": advice.chosen.backbone.model_dump()}
    stream = io.StringIO()
    YAML().dump({"advised": {**named, **settings}}, stream)
    return stream.getvalue()


def write_advice(advice: Advice, folder: Path) -> None:
    """Write record and plot."""
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / RECORD_FILE, json.dumps(advice.as_record(), indent=1))
    advice_picture(folder / PLOT_FILE, advice)


@illustration
def advice_picture(path: Path, advice: Advice) -> None:
    """Draw the error of each backbone by depth."""
    figure = new_figure(7, 4)
    axes = figure.add_subplot()
    for one in advice.measured:
        shares = [100 * score.depth.share for score in one.scores]
        errors = [100 * (1 - score.accuracy) for score in one.scores]
        (line,) = axes.plot(shares, errors, marker="o", label=one.backbone.name)
        if one is advice.chosen:
            place = (shares[one.best], errors[one.best])
            axes.plot(*place, marker="o", markersize=12, fillstyle="none", color=line.get_color())
            layer = one.scores[one.best].depth.layer
            axes.annotate(
                layer[:60],
                place,
                xytext=(0, 10),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                parse_math=False,
            )
    axes.axhline(100 * advice.enough, color="grey", linestyle=":", label="head alone is enough")
    axes.set_xlabel("layers below, %")
    axes.set_ylabel("error of a linear classifier, %")
    axes.set_ylim(bottom=0)
    # Matplotlib's own wrapping would take a dollar sign for a formula all the same.
    axes.set_title("\n".join(textwrap.wrap(summary(advice), 90)[:4]), fontsize=9, parse_math=False)
    for text in axes.legend(ncols=1 + len(advice.measured) // 15).get_texts():
        text.set_parse_math(False)
    figure.savefig(path, dpi=DPI)
