"""What a process that measures begins with: its settings, TensorFlow and Keras, photographs."""

from pathlib import Path

from graft.core.environment import configure
from graft.core.project import Project, find_project


def begin(cache: Path | None) -> Path:
    """Fill in the environment and import TensorFlow and Keras as graft does; return the cache of weights.

    Args:
        cache: None is that of the project here.

    Raises:
        GraftError: no cache was named, and there is no project here.
    """
    home = Project(cache.parent) if cache else find_project()
    configure(home)
    from graft.networks.engines.tensorflow_import import import_tensorflow

    import_tensorflow()
    return cache or home.cache


def spread_paths(root: Path, most: int) -> list[str]:
    """Return names below ``root`` of at most so many of its images, spread over all of them."""
    from graft.data.folder.layout import image_files, read_layout

    paths = [file.name for file in image_files(read_layout(root))]
    return paths[:: max(1, len(paths) // most)][:most]
