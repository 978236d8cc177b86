"""Set how long and how thoroughly graft chooses, in the text of params.yaml: all else keeps every byte."""

import re
from pathlib import Path

from graft.core.errors import GraftError
from graft.core.files import write_file
from graft.core.params.choose_params import Quality
from graft.core.params.load_params import parse_text
from graft.core.params.models import Params

# What is trained by quality; fast trains heads alone.
STRATEGIES: dict[Quality, list[str]] = {
    "fast": ["frozen"],
    "good": ["frozen", "fine_tune", "scratch"],
    "best": ["frozen", "fine_tune", "scratch"],
}
# Of these, what answers together: 5,000 images of CIFAR-10, frozen 90.0 and fine_tune 86.4 % right on validation, are
# 90.9 % right by both, weighted out of fold.
ENSEMBLES: dict[Quality, list[str]] = {"fast": [], "good": [], "best": ["mean"]}


def set_quality(path: Path, quality: Quality | None, minutes: float | None) -> list[str]:
    """Write settings of stage choose into params.yaml.

    With a quality, ``train.run`` becomes the strategies that it trains and ``ensemble.run`` what it makes of them,
    where both name those of a quality.

    Args:
        path: of params.yaml.
        quality: None leaves it as it is.
        minutes: for measuring and training; None leaves them as they are.

    Returns:
        What was changed, in words; nothing where all was so already.

    Raises:
        GraftError: params.yaml is not as graft writes it, or the value is none.
    """
    text = path.read_text(encoding="utf-8")
    before = parse_text(text, path.name)
    wanted: list[tuple[str, str, str]] = []
    if quality is not None and quality != before.choose.quality:
        wanted.append(("choose", "quality", quality))
    if minutes is not None and minutes != before.choose.minutes:
        wanted.append(("choose", "minutes", f"{minutes:g}"))
    if quality is not None:
        wanted += _what_is_trained(quality, before)
    for section, key, value in wanted:
        text = _replaced(text, section, key, value, path.name)
    if wanted:
        parse_text(text, path.name)
        write_file(path, text)
    return [f"{section}.{key}: {value}" for section, key, value in wanted]


def _what_is_trained(quality: Quality, before: Params) -> list[tuple[str, str, str]]:
    """Return what changes of strategies and ensembles: section, key and value each; none where they are one's own."""
    strategies, ensembles = before.train.run, before.ensemble.run
    if strategies not in STRATEGIES.values() or ensembles not in ENSEMBLES.values():
        return []
    if not set(STRATEGIES[quality]) <= set(before.train.strategies):
        return []
    made = [name for name in ENSEMBLES[quality] if name in before.ensemble.ensembles]
    wanted = [("train", strategies, STRATEGIES[quality]), ("ensemble", ensembles, made)]
    return [(section, "run", f"[{', '.join(new)}]") for section, old, new in wanted if old != new]


def _replaced(text: str, section: str, key: str, value: str, source: str) -> str:
    """Return the text with another value on the line of a key directly below a section; its comment stays in place."""
    pattern = re.compile(rf"(?ms)^({section}:[^\n]*\n(?:[ #\n][^\n]*\n)*?  {key}: )([^#\n]*?)([ \t]*)(#[^\n]*)?$")
    found = pattern.search(text)
    if found is None:
        raise GraftError(f"{source} has no line '{key}:' under '{section}'", f"Add it there: {key}: {value}")
    width = len(found[2]) + len(found[3])
    padding = " " * max(width - len(value), 2 if found[4] else 0)
    return text[: found.end(1)] + value + (padding + found[4] if found[4] else "") + text[found.end() :]
