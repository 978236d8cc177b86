"""Draw a heat map over its photograph, as a small picture that stands inside a page."""

import base64
import io

import numpy as np
from PIL import Image

from graft.bundle.images import CENTRE, CENTRE_SHARE, open_image, to_rgb

SIDE = 160  # pixels of the longer side, as of a thumbnail
# Of the photograph under the heat, which is then seen on any of its colours.
_PALE = 0.45
_QUALITY = 78
# From little to much: through orange to red.
_COLOURS = np.array([[255, 210, 60], [245, 110, 20], [190, 0, 20]], np.float32)


def heat_picture(image: Image.Image, heat: np.ndarray, view: str, side: int = SIDE) -> Image.Image:
    """Return the photograph in pale grey with what speaks for the class on it, yellow to red.

    Args:
        image: RGB, upright.
        heat: ``[h, w]``, see :meth:`graft.networks.explain.heat_maps.HeatMaps.of`; what is below 0 is not shown.
        view: what of the photograph the network was shown, see :func:`graft.bundle.images.resize`.
        side: of the picture's longer side, in pixels.
    """
    image = image.copy()
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    box = shown_box(image.size, view)
    strength = np.zeros(image.size[::-1], np.float32)
    width, height = box[2] - box[0], box[3] - box[1]
    resized = Image.fromarray(np.maximum(heat, 0).astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    strength[box[1] : box[3], box[0] : box[2]] = np.maximum(np.asarray(resized), 0)
    strength /= max(float(strength.max()), 1e-12)
    grey = np.asarray(image.convert("L"), np.float32)[..., None] * (1 - _PALE) + 255 * _PALE
    places = np.linspace(0, 1, len(_COLOURS))
    colour = np.stack([np.interp(strength, places, _COLOURS[:, channel]) for channel in range(3)], axis=-1)
    share = (0.85 * strength**1.5)[..., None]
    return Image.fromarray((grey * (1 - share) + colour * share).astype(np.uint8))


def heat_uri(data: bytes, heat: np.ndarray, view: str) -> str:
    """Return :func:`heat_picture` of an image file's bytes as a JPEG's data URI.

    Raises:
        UnreadableImageError: the file is no image that can be read.
    """
    stream = io.BytesIO()
    heat_picture(to_rgb(open_image(data)), heat, view).save(stream, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def shown_box(size: tuple[int, int], view: str) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what the network is shown of a photograph of a width and height."""
    width, height = size
    if view != CENTRE:
        return 0, 0, width, height
    side = CENTRE_SHARE * min(size)
    left, top = round((width - side) / 2), round((height - side) / 2)
    return left, top, left + max(1, round(side)), top + max(1, round(side))
