"""Networks from random weights: one file each, whose name is what ``network`` in params.yaml may say.

Each has ``build(images, params, seed)``: from scaled images, a Keras tensor ``[N, S, S, 3]`` in -1..1, to what the
head goes on with.
"""

from __future__ import annotations

import pkgutil


def network_names() -> list[str]:
    """Names of the files here; none is imported for it."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))
