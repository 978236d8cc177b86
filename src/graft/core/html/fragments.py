"""Pieces of HTML that several pages are made of: bars, numbers, and what was cut off."""

from __future__ import annotations


def bar(probability: float) -> str:
    """A probability as a bar and a number."""
    return f'<span class="bar"><i style="width:{100 * probability:.0f}%"></i></span>{probability:.3f}'


def figure(value: float) -> str:
    """A number with three digits at least, and thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cut(shown: int, total: int, what: str = "") -> str:
    """How much of something is shown, where that is not all."""
    if shown >= total:
        return ""
    return f'<p class="cut">{shown:,} of {total:,} shown{f" ({what})" if what else ""}.</p>'
