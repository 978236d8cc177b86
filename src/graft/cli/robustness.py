"""`graft robustness`: what blur, noise, darkness, JPEG, rotation and loss of resolution cost a model."""

from typing import Annotated

import typer

from graft.cli import completion
from graft.cli.app import opened
from graft.cli.options import JsonOption
from graft.cli.output import messages_aside, print_table, say, table_of
from graft.core.progress import console


def robustness(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="A trained strategy or ensemble, its folder, or models:/NAME@ALIAS. By default the champion.",
            show_default=False,
            autocompletion=completion.evaluated,
        ),
    ] = None,
    images: Annotated[int, typer.Option(metavar="N", min=1, help="Test images at most, evenly spread.")] = 300,
    as_json: JsonOption = False,
) -> None:
    """Show a model's accuracy on test images that are blurred, noisy, dark, compressed, turned or small.

    Five severities each, from hardly seen to barely recognised, at the size that the model is given.
    """
    import json
    from dataclasses import asdict

    project, _ = opened()
    with messages_aside(as_json):
        import numpy as np

        from graft.core.files import write_file
        from graft.core.progress import progress_bar
        from graft.evaluation.corruption_costs import robustness as measure
        from graft.evaluation.corruptions import CORRUPTIONS, SEVERITIES
        from graft.evaluation.evaluate import TestImages
        from graft.evaluation.prediction_table import class_indices
        from graft.networks.engines.open_classifier import open_classifier
        from graft.registry.report.model_facts import robustness_file
        from graft.registry.resolve import resolve_trained

        resolved = resolve_trained(project, model)
        test = TestImages(project)
        rows = np.unique(np.linspace(0, len(test.table) - 1, images).astype(int))
        total = len(rows) * (1 + len(CORRUPTIONS) * len(SEVERITIES))
        classifier = open_classifier(resolved.bundle, total)
        labels = class_indices(test.table["label"], classifier.classes)[rows]
        with progress_bar("images, changed", total) as advance:
            found = measure(
                classifier, lambda side, some: test.at(side).at(rows[some]), labels, test.groups[rows], advance
            )
        text = json.dumps(
            {"model": str(resolved), "images": len(rows), "rows": [asdict(one) for one in found]}, indent=1
        )
        write_file(robustness_file(project, resolved.digest), text)  # for the next report on this model
    if as_json:
        print(text)
        return
    clean, *changed = found
    table = table_of("=severity", *(f">{severity}" for severity in SEVERITIES), "=points lost at 5")
    for kind in CORRUPTIONS:
        of_kind = [one for one in changed if one.kind == kind]
        ends = of_kind[-1].difference_interval
        lost = f"{-100 * of_kind[-1].difference:.1f} [{-100 * ends.high:.1f}, {-100 * ends.low:.1f}]"
        table.add_row(kind, *(f"{100 * one.accuracy:.1f}" for one in of_kind), lost)
    console.print()
    print_table(table)
    say(
        f"\n{resolved}: {100 * clean.accuracy:.1f} % of {len(rows)} test images as they are "
        f"[{100 * clean.interval.low:.1f}, {100 * clean.interval.high:.1f}]."
    )
