"""Put counts and lists into words, for sentences."""

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """Return a number with what it counts, such as ``1 image`` or ``1,200 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def some(names: Sequence[str], most: int) -> str:
    """Return the first of the names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
