"""graft: transfer learning for image classification, from a folder of photographs to a registered model.

::

    import graft

    project = graft.open_project("flowers")
    graft.import_images(project, "~/Pictures/flowers")
    graft.validate(project)
    graft.split(project)
    graft.train(project, "frozen")
    graft.evaluate(project)

Each name is imported when it is first used: `import graft` alone takes milliseconds.
"""

import importlib

TYPE_CHECKING = False  # as typing's; importing that would take longer than all else here
if TYPE_CHECKING:
    from graft.api.apply import export, load, predict
    from graft.api.learn import compare, evaluate, promote, train
    from graft.api.prepare import import_images, inspect, open_project, split, validate

__version__ = "0.1.0"
__all__ = [
    "compare",
    "evaluate",
    "export",
    "import_images",
    "inspect",
    "load",
    "open_project",
    "predict",
    "promote",
    "split",
    "train",
    "validate",
]

_MODULES = {
    "prepare": ("open_project", "import_images", "inspect", "validate", "split"),
    "learn": ("train", "evaluate", "compare", "promote"),
    "apply": ("load", "predict", "export"),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"graft.api.{module}"), name)
    raise AttributeError(f"module 'graft' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
