"""Describe what a user of an exported file needs: labels, and what was done to photographs before the network."""

import json
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from graft.bundle import decisions
from graft.networks.code_identity import DECODING

RESIZE = (
    "Decode every pixel, JPEG at its whole size; turn upright as EXIF says; transparent parts on white; 8-bit RGB; "
    "resize to {size} x {size} pixels, bilinear with antialiasing, without keeping the aspect ratio (Pillow: "
    "image.resize(({size}, {size}), Image.Resampling.BILINEAR)). Scaling of values is in the graph. The folder "
    "preprocessing has the very code."
)
# A package of copies of what graft itself decodes with, so that no description can differ from it. It needs NumPy and
# Pillow alone.
PREPROCESSING = "preprocessing"
# The first lines of each format's usage: uint8 [1, size, size, 3].
PREPARE = """\
from preprocessing import decode                        # the folder beside this file; run it here
images = decode(open("photograph.jpg", "rb").read(), {size})[None]
"""
LABELS_FILE = "labels.txt"
ABOUT_FILE = "graft.json"
README_FILE = "README.md"
DECISIONS = "decisions"


def describe(
    model: Mapping[str, str], settings: Mapping[str, Any], image_size: int, versions: Sequence[str]
) -> dict[str, Any]:
    """Return the description that every format carries, JSON-ready.

    Args:
        model: name, version and digest of what is exported.
        image_size: side in pixels.
        versions: packages that had a part in it.
    """
    return {
        "model": dict(model),
        "labels": list(settings["classes"]),
        "image_size": image_size,
        "preprocessing": RESIZE.format(size=image_size),
        "output": f"probabilities [N, {len(settings['classes'])}] in the order of labels, calibrated; they sum to 1",
        "temperature": settings.get("temperature"),
        "members": settings.get("members"),
        "versions": {package: version(package) for package in versions},
    }


def write_decisions(folder: Path, bundle: Path, decided: Mapping[str, Any]) -> list[str]:
    """Write what a bundle decides of probabilities beside an exported file, as code and data; return a recipe.

    The code is graft's own, and needs NumPy alone. Nothing is written where nothing was decided.
    """
    if not decided:
        return []
    own = folder / DECISIONS
    own.mkdir()
    shutil.copyfile(decisions.__file__, own / "__init__.py")
    (own / "decide.json").write_text(json.dumps(decided, ensure_ascii=False, indent=1), encoding="utf-8")
    has_features = (bundle / decisions.FEATURES_FILE).is_file()
    if has_features:
        shutil.copyfile(bundle / decisions.FEATURES_FILE, own / decisions.FEATURES_FILE)
    return [
        "## Answers",
        "",
        "What is answered was decided: `unknown` for none of the classes, a wanted precision, costs. The folder "
        f"{DECISIONS} has it as code and data."
        + (
            " Distances are of the output `features`; a format without it goes by `probability` alone (nan)."
            * has_features
        ),
        "",
        "```python",
        "import json",
        "import numpy as np",
        "from decisions import Decisions, distances, label_names",
        'labels = open("labels.txt").read().splitlines()',
        'decide = Decisions.of(json.load(open("decisions/decide.json")), labels)',
        "far = np.full(len(probabilities), np.nan)",
        *(['# far = distances(features, np.load("decisions/features.npz")["features"])'] * has_features),
        "answers = label_names(labels, decide.indices(probabilities, far))",
        "```",
        "",
    ]


def write_description(
    folder: Path, name: str, about: Mapping[str, Any], form: Mapping[str, Any], usage: str, recipe: Sequence[str] = ()
) -> None:
    """Write labels.txt, graft.json, preprocessing/ and README.md beside an exported file.

    Args:
        recipe: lines of README.md that follow, see :func:`write_decisions`.
        about: from :func:`describe`.
        form: of this format: input kind and range, what checking it came to.
        usage: lines of Python that run it on ``images``.
    """
    (folder / PREPROCESSING).mkdir()
    (folder / PREPROCESSING / "__init__.py").write_text("from .images import decode as decode\n", encoding="utf-8")
    for source in DECODING:
        shutil.copyfile(source, folder / PREPROCESSING / source.name)
    (folder / LABELS_FILE).write_text("\n".join(about["labels"]) + "\n", encoding="utf-8")
    text = json.dumps({**about, "format": name, **form}, ensure_ascii=False, indent=1)
    (folder / ABOUT_FILE).write_text(text, encoding="utf-8")
    model = about["model"]
    title = f"{model['name']} {'version ' + model['version'] if model['version'] else ''}".strip()
    low, high = form["input_range"]
    checked = form["checked"]
    lines = [
        f"# {title}: {name}",
        "",
        f"Image classifier of {len(about['labels'])} classes (labels.txt, in the order of the probabilities), "
        "exported by graft. All of this is in graft.json too.",
        "",
        f"- Input: {form['input_kind']} [N, {about['image_size']}, {about['image_size']}, 3], RGB in {low}..{high}.",
        f"- Before that: {about['preprocessing']}",
        f"- Output: {about['output']}{', in steps of 1/256' if form['int8'] else ''}.",
        f"- Checked on {checked['images']} validation photographs: largest difference of a probability to the model's "
        f"own {checked['largest_difference']:.2g}, the same label on {checked['same_label']:.2%}, accuracy "
        f"{checked['accuracy']:.2%} (the model's own {checked['accuracy_of_model']:.2%}).",
        "",
        "```python",
        PREPARE.format(size=about["image_size"]) + usage.strip(),
        "```",
        "",
        *recipe,
    ]
    (folder / README_FILE).write_text("\n".join(lines), encoding="utf-8")
