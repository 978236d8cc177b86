"""Write what was chosen: settings for each strategy, the table of what was tried, and a page that says why."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graft.analysis.choose.choose import Choice, tried_table
from graft.analysis.choose.chosen_values import SETTINGS_FOLDER, settings_file, settings_in_words
from graft.core.files import write_file
from graft.core.html.html_page import PageSection, render, sections_by_key

TRIED_FILE = "tried.csv"
RECORD_FILE = "choice.json"
PAGE_FILE = "choose.html"


def write_choice(
    choice: Choice | None, settings: Mapping[str, Mapping[str, Any]], folder: Path, promising: Sequence[str] = ()
) -> None:
    """Write the outputs of stage choose.

    Args:
        choice: what was measured; None where nothing says auto.
        settings: by strategy, values by name.
        folder: of the stage's outputs.
        promising: strategies that fine-tune where that promises more than frozen networks.
    """
    shutil.rmtree(folder / SETTINGS_FOLDER, ignore_errors=True)
    for name, values in settings.items():
        write_file(settings_file(folder, name), json.dumps(dict(values), indent=1) + "\n")
    # Seconds differ from run to run: they stay out of what DVC compares.
    table = tried_table(choice).drop(columns="seconds")
    write_file(folder / TRIED_FILE, table.to_csv(index=False, float_format="%.6g"))
    write_file(folder / PAGE_FILE, choice_page(choice, settings, promising) if choice else _empty_page())
    write_file(folder / RECORD_FILE, json.dumps(record(choice, promising), indent=1) + "\n")


def _empty_page() -> str:
    """Return the page of a stage that had nothing to do."""
    return render("analysis/choose/nothing.html", title="Stage choose", sections={})


def choice_page(choice: Choice, settings: Mapping[str, Mapping[str, Any]], promising: Sequence[str]) -> str:
    """Return the page that says what was tried, what was chosen and why; equal for equal data."""
    weights = choice.selection.weights
    return render(
        "analysis/choose/choose.html",
        title="Stage choose",
        sections=sections_by_key(
            [
                PageSection("why", "Why", len(choice.selection.steps)),
                PageSection("tried", "What was tried", len(choice.measured)),
                PageSection("left_out", "What was left out", len(choice.skipped)),
                PageSection("settings", "Settings for training"),
            ]
        ),
        images=choice.images,
        all_images=choice.all_images,
        members=[(choice.measured[index].candidate.name, weight) for index, weight in weights.items()],
        accuracy=choice.selection.accuracy,
        log_loss=choice.selection.log_loss,
        steps=choice.selection.steps,
        mirror=choice.mirror,
        flips=choice.flips_do_no_harm,
        promising=promising,
        measured=[
            {
                "name": one.candidate.name,
                "accuracy": one.accuracy,
                "log_loss": one.log_loss,
                "multiply_adds": one.candidate.multiply_adds,
                "weight": weights.get(index, 0),
            }
            for index, one in enumerate(choice.measured)
        ],
        left_out=[(candidate.name, reason) for candidate, reason in choice.skipped],
        settings={name: settings_in_words(values) for name, values in settings.items()},
    )


def record(choice: Choice | None, promising: Sequence[str] = ()) -> dict[str, Any]:
    """Return the choice as JSON-ready values."""
    if choice is None:
        return {"measured": False}
    selection = choice.selection
    return {
        "measured": True,
        "accuracy": round(selection.accuracy, 6),
        "log_loss": round(selection.log_loss, 6),
        "images": choice.images,
        "members": {choice.measured[index].candidate.name: weight for index, weight in selection.weights.items()},
        "steps": selection.steps,
        "promising": list(promising),
        "mirror_images": None
        if choice.mirror is None
        else {"gain": round(choice.mirror.gain, 6), "error": round(choice.mirror.error, 6)},
    }
