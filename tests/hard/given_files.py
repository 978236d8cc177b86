"""Write a file of given bytes, and hold what a reader says of it."""

from pathlib import Path


def written(data: bytes, folder: Path, name: str) -> Path:
    """Return the path of a new file of these bytes."""
    path = folder / name
    path.write_bytes(data)
    return path


def require_place(error: Exception, path: Path) -> None:
    """A refusal says where something was found."""
    assert path.name in str(error), f"the message names no place: {error}"
