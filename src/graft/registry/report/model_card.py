"""Write the model card: Markdown with the metadata block that Hugging Face's hub reads, from the report's facts.

The layout is that of M. Mitchell et al., Model Cards for Model Reporting, 2019, https://arxiv.org/abs/1810.03993; the
metadata that of https://huggingface.co/docs/hub/model-cards.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from graft.analysis.choose.chosen_values import settings_in_words
from graft.registry.report.limits import limits, named
from graft.registry.report.model_facts import ModelFacts
from graft.registry.report.project_facts import ProjectFacts
from graft.registry.report.report_page import in_words, model_version

# What the hub calls licences that data sets are published under; others are "other", by their own name.
_LICENCES = {
    "cc0 1.0": "cc0-1.0",
    "cc by 4.0": "cc-by-4.0",
    "cc by 3.0": "cc-by-3.0",
    "cc by 2.0": "cc-by-2.0",
    "cc by-sa 4.0": "cc-by-sa-4.0",
    "cc by-sa 3.0": "cc-by-sa-3.0",
    "cc by-nc 4.0": "cc-by-nc-4.0",
    "mit": "mit",
    "apache 2.0": "apache-2.0",
    "apache-2.0": "apache-2.0",
    "odbl": "odbl",
}
_MOST_CLASSES = 40


def model_card(project: ProjectFacts, model: ModelFacts) -> str:
    """Return the card as Markdown, with a YAML block in front."""
    headline = model.headlines[model.name]
    lines = [
        _front_matter(project, model),
        f"# {_text(model_version(model))}",
        "",
        summary(project, model),
        "",
        "## What it is for",
        "",
        f"It takes a photograph and answers with one of {len(model.classes)} classes and the probability of each: "
        f"{_text(named(model.classes))}.",
        "",
        "## What it must not be used for",
        "",
        *(f"- {_text(words)}" for words in limits(project, model)),
        "",
        "## How good it is",
        "",
        f"On {len(model.labels):,} test images that chose nothing"
        + (f", in {headline.groups:,} groups" if headline.groups not in (None, headline.images) else "")
        + ". In brackets: 95 % intervals.",
        "",
        *_table(
            ["figure", "test"],
            [(name, in_words(name, one)) for name, one in headline.figures.items()]
            + [("calibration error", f"{model.figures['calibration_error']:.3f}")],
        ),
        "",
        "By class, the least recall first:",
        "",
        *_table(
            ["class", "test images", "recall", "precision"],
            [
                (row["class"], f"{row['support']:,.0f}", f"{row['recall']:.3f}", f"{row['precision']:.3f}")
                for row in model.per_class.sort_values(["recall", "class"]).to_dict("records")[:_MOST_CLASSES]
            ],
        ),
        "",
        "## What it was made from",
        "",
        f"- Photographs: {_text(project.dataset)}, from {_text(project.source)}; licence: {_text(project.licence)}",
        f"- Images: {', '.join(f'{count:,} {split}' for split, count in project.counts.items())}"
        + (f"; left out: {sum(project.left_out.values()):,}" if project.left_out else ""),
        f"- Model: {_named(model)}",
        *(f"  - {_text(key)}: {_text(value)}" for key, value in settings_in_words(model.settings)),
        *([f"- Commit: `{project.commit}`" + (", with changes" if project.is_dirty else "")] if project.commit else []),
        *([f"- Hash of the photographs (DVC): `{project.data_hash}`"] if project.data_hash else []),
        *([f"- MLflow run: `{model.registered['run_id']}`"] if model.registered else []),
        "",
        "## Made with",
        "",
        *(f"- {name} {value}" for name, value in project.environment),
        "",
    ]
    return "\n".join(lines)


def summary(project: ProjectFacts, model: ModelFacts) -> str:
    """Return one paragraph for a registry's page: what it tells apart, how well, and what made it."""
    headline = model.headlines[model.name].figures
    return (
        f"Tells {_text(named(model.classes))} apart on photographs of {_text(project.dataset)}: "
        f"{in_words('accuracy', headline['accuracy'])} of {len(model.labels):,} test images right, macro-F1 "
        f"{in_words('macro_f1', headline['macro_f1'])}. Made by {_named(model)} from "
        f"{project.counts['train'] + project.counts['val']:,} photographs."
    )


def _named(model: ModelFacts) -> str:
    """Return what the model is called, and what it is where the name does not say it."""
    return _text(model.name) + (f" ({_text(model.kind)})" if model.kind != model.name else "")


def _front_matter(project: ProjectFacts, model: ModelFacts) -> str:
    from ruamel.yaml import YAML

    licence = _LICENCES.get(project.licence.lower())
    headline = model.headlines[model.name].figures
    data: dict[str, Any] = {
        "language": "en",
        **({"license": licence} if licence else {"license": "other", "license_name": _slug(project.licence)}),
        "pipeline_tag": "image-classification",
        "library_name": "keras",
        "tags": ["image-classification", "transfer-learning", "graft", model.kind],
        "datasets": [_slug(project.dataset)],
        "metrics": ["accuracy", "f1"],
        "model-index": [
            {
                "name": model_version(model),
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"name": project.dataset, "type": _slug(project.dataset), "split": "test"},
                        "metrics": [
                            {"type": "accuracy", "value": round(headline["accuracy"].value, 6)},
                            {"type": "f1", "name": "macro F1", "value": round(headline["macro_f1"].value, 6)},
                            {"type": "log_loss", "value": round(headline["log_loss"].value, 6)},
                        ],
                    }
                ],
            }
        ],
    }
    text = io.StringIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.dump(data, text)
    return f"---\n{text.getvalue()}---\n"


def _slug(name: str) -> str:
    """Return a name as the hub takes it: lower case, with a hyphen for whatever is no letter, digit, dot or _."""
    return re.sub(r"[^a-z0-9._]+", "-", name.lower()).strip("-.") or "unnamed"


def _table(titles: list[str], rows: Sequence[tuple[str, ...]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *([_text(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _text(name: str) -> str:
    """Return text with what Markdown and HTML would take for markup behind a backslash, in one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", " ".join(str(name).split()))
