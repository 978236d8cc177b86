"""What several commands say in the same words: where a file lies, and what to do next."""

from __future__ import annotations

from pathlib import Path

from graft.core.progress import console


def short(path: Path) -> Path:
    """The path as one would type it here: relative where it lies below the working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def print_next(*commands: str) -> None:
    """Prints the commands that can follow, the likeliest first."""
    console.print(
        f"Next: [bold]{commands[0]}[/]" + "".join(f"  or  [bold]{command}[/]" for command in commands[1:])
    )
