"""`graft compare`: models against each other on the same test images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli import completion
from graft.cli.app import opened
from graft.cli.options import JsonOption, place_to_write
from graft.cli.output import messages_aside, say, short, table_of
from graft.core.progress import console

if TYPE_CHECKING:
    from graft.deployment.monitor.shadow_answers import ShadowAgreement

SHOWN = 20  # pairs of answers


def compare(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="Strategies, ensembles, ids of MLflow runs, versions such as 3, champion, models:/NAME/3. "
            "By default all that are evaluated.",
            show_default=False,
            autocompletion=completion.evaluated,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the images that they disagree on as CSV.",
            show_default=False,
            callback=place_to_write,
        ),
    ] = None,
    at_work: Annotated[
        bool, typer.Option("--at-work", help="Compare what was answered at work with the model in the shadow instead.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare models on the same test images: which are better than the first, and whether that is chance.

    Each is compared with the first by its difference in accuracy, with a 95 % interval (of whole groups, where images
    belong together), and by McNemar's exact test. "Not distinguishable" says that these images cannot tell, not that
    the models are equal.
    """
    import json

    from graft.core.errors import GraftError
    from graft.core.files import replaced_file
    from graft.data.scan.manifest import read_manifest

    project, params = opened()
    if at_work:
        from graft.deployment.monitor.prediction_log import PredictionLog
        from graft.deployment.monitor.shadow_answers import shadow_agreement

        _print_shadow(shadow_agreement(PredictionLog(project.prediction_log, params.monitor.log)), as_json)
        return
    with messages_aside(as_json):
        from graft.registry.runs.named_predictions import compare_named, evaluated_names

        chosen = list(dict.fromkeys(names or evaluated_names(project, params)))
        if len(chosen) < 2:
            raise GraftError(
                "There is nothing to compare: name two models or more, each once",
                "Evaluate them with `graft run`; `graft history` shows registered versions",
            )
        found = compare_named(project, params, chosen)
        manifest = read_manifest(project.manifest, columns=["path", "sha256"]) if project.manifest.is_file() else None
    paths = {} if manifest is None else dict(zip(manifest["sha256"], manifest["path"], strict=True))
    if out is not None:
        rows = found.disagreements.assign(path=[paths.get(digest, "") for digest in found.disagreements["sha256"]])
        with replaced_file(out) as partial:
            rows.to_csv(partial, index=False, lineterminator="\n", encoding="utf-8")
    if as_json:
        print(json.dumps(found.as_json(), indent=1))
        return
    from graft.cli.figure_tables import print_comparison, print_disagreements, print_figures
    from graft.evaluation.headline import Headline

    print_figures({name: Headline(own, found.images, found.groups) for name, own in found.figures.items()}, {})
    print_comparison(found)
    print_disagreements(found, paths)
    if out is not None:
        say(f"All of them are in {short(out)}.")


def _print_shadow(found: ShadowAgreement, as_json: bool) -> None:
    import json

    from rich.markup import escape

    if as_json:
        print(json.dumps(found.as_record(), indent=1))
        return
    say(
        f"{found.images:,} images: {found.shadow} answers as {found.answering} does on {found.same:.1%} "
        f"({found.low:.1%} to {found.high:.1%})"
    )
    if found.differing:
        table = table_of("answered", "in the shadow", ">images")
        for one, other, count in found.differing[:SHOWN]:
            table.add_row(escape(one), escape(other), f"{count:,}")
        console.print(table)
        say(f"Such as: {', '.join(one[:16] for one in found.examples[:3])}. Labels decide: graft monitor --truth FILE")
