"""Write pictures of where a model looked in photographs."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from graft.bundle.images import UnreadableImageError, open_image, to_rgb
from graft.bundle.model import ImageClassifier
from graft.core.files import new_folder
from graft.deployment.predict.inputs import Photograph
from graft.networks.explain.heat_maps import HeatMaps
from graft.networks.explain.heat_picture import heat_picture

# Of a picture's longer side, in pixels.
SIDE = 640
# Characters of a name: file systems take 255 bytes.
_LENGTH = 60


def explain_photographs(
    classifier: ImageClassifier,
    bundle: Path,
    photographs: Iterable[Photograph],
    folder: Path,
    advance: Callable[[int], object] = lambda count: None,
) -> int:
    """Write a picture of each photograph with what speaks for the class that it is taken for; return how many.

    Pictures are called ``0001-NAME-CLASS.jpg``, in the order of the photographs. One that cannot be read has none.

    Args:
        classifier: opened from ``bundle``.
        folder: is made, and must not be there.
        advance: is told of each photograph that is done.

    Raises:
        NoHeatMapError: the network has no heat maps.
    """
    heats, written = HeatMaps(bundle), 0
    with new_folder(folder) as made:
        for number, photograph in enumerate(photographs, 1):
            advance(1)
            try:
                data = photograph.read()
                pixels = {size: one[None] for size, one in classifier.to_pixels(data).items()}
                label = int(classifier.probabilities(pixels)[0].argmax())
                picture = heat_picture(to_rgb(open_image(data)), heats.of(pixels, [label])[0], heats.view, SIDE)
            except UnreadableImageError:
                continue
            name = f"{number:04}-{_plain(Path(photograph.name).stem)}-{_plain(classifier.classes[label])}.jpg"
            picture.save(made / name, quality=90)
            written += 1
    return written


def _plain(text: str) -> str:
    """Return text as a part of a file's name: letters, digits and ``._-``, no more than a file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:_LENGTH] or "_"
