"""Set how long and how thoroughly graft chooses, in the text of params.yaml: all else keeps every byte."""

import re
from pathlib import Path

from graft.core.errors import GraftError
from graft.core.files import write_file
from graft.core.params.choose_params import Quality
from graft.core.params.load_params import parse_text

# What is trained by quality; fast trains heads alone.
STRATEGIES: dict[Quality, list[str]] = {
    "fast": ["frozen"],
    "good": ["frozen", "fine_tune", "scratch"],
    "best": ["frozen", "fine_tune", "scratch"],
}


def set_quality(path: Path, quality: Quality | None, minutes: float | None) -> list[str]:
    """Write settings of stage choose into params.yaml.

    With a quality, ``train.run`` becomes the strategies that it trains, where it names those of another quality.

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
        run, theirs = STRATEGIES[quality], before.train.run
        if theirs != run and theirs in STRATEGIES.values() and set(run) <= set(before.train.strategies):
            wanted.append(("train", "run", f"[{', '.join(run)}]"))
    for section, key, value in wanted:
        text = _replaced(text, section, key, value, path.name)
    if wanted:
        parse_text(text, path.name)
        write_file(path, text)
    return [f"{section}.{key}: {value}" for section, key, value in wanted]


def _replaced(text: str, section: str, key: str, value: str, source: str) -> str:
    """Return the text with another value on the line of a key directly below a section; its comment stays in place."""
    pattern = re.compile(rf"(?ms)^({section}:[^\n]*\n(?:[ #\n][^\n]*\n)*?  {key}: )([^#\n]*?)([ \t]*)(#[^\n]*)?$")
    found = pattern.search(text)
    if found is None:
        raise GraftError(f"{source} has no line '{key}:' under '{section}'", f"Add it there: {key}: {value}")
    width = len(found[2]) + len(found[3])
    padding = " " * max(width - len(value), 2 if found[4] else 0)
    return text[: found.end(1)] + value + (padding + found[4] if found[4] else "") + text[found.end() :]
