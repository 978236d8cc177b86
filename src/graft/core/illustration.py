"""Draw pictures that only illustrate: where one cannot be drawn, that is said, and nothing else fails."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from graft.core.errors import first_line
from graft.core.progress import console

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 120
Arguments = ParamSpec("Arguments")


def illustration(draw: Callable[Concatenate[Path, Arguments], None]) -> Callable[Concatenate[Path, Arguments], bool]:
    """Make a function that draws into a file return whether it could, and never raise.

    Where it could not, the reason is printed, and there is no file.
    """

    @functools.wraps(draw)
    def drawn(path: Path, *arguments: Arguments.args, **options: Arguments.kwargs) -> bool:
        path.unlink(missing_ok=True)
        try:
            draw(path, *arguments, **options)
        except Exception as error:  # Matplotlib and Pillow raise all kinds, MemoryError among them
            path.unlink(missing_ok=True)
            console.print(
                f"The picture {path.name} cannot be drawn ({first_line(error)}): there is none, and all else goes on",
                soft_wrap=True,
                markup=False,
            )
            return False
        return True

    return drawn


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches: without pyplot, so without a window system or global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
