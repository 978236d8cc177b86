"""Small pictures as data URIs: they stand inside the page, which then needs neither network nor files."""

import base64
import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from graft.bundle.images import DEFAULT_MAX_PIXELS, UnreadableImageError, open_image, to_rgb
from graft.core.progress import progress_bar
from graft.core.quotas import cores

SIDE = 160  # pixels of the longer side: sharp at 112 CSS pixels on most screens
# Of all thumbnails of a page, encoded. A browser opens such a page at once, and it still goes by mail.
BUDGET_BYTES = 12 * 2**20
_LOSSLESS_PIXELS = 64 * 64  # up to here PNG is as small as JPEG, and shows the pixels as they are


def make_thumbnails(root: Path, paths: Iterable[str], max_pixels: int, budget: int = BUDGET_BYTES) -> dict[str, str]:
    """Return data URIs by path, in order until their bytes would exceed ``budget``; upright, as training sees them.

    A file that is gone or unreadable by now has none.

    Args:
        root: the folder that ``paths`` are relative to.
        paths: with forward slashes; repeated ones are made once.
        max_pixels: larger pictures are not decoded.
    """
    wanted = list(dict.fromkeys(paths))

    def make(path: str) -> str:
        try:
            return data_uri((root / path).read_bytes(), max_pixels)
        except (OSError, UnreadableImageError):
            return ""

    made, used = {}, 0
    with ThreadPoolExecutor(cores()) as pool, progress_bar("Making thumbnails", len(wanted)) as advance:
        for path, uri in zip(wanted, pool.map(make, wanted), strict=True):
            advance(1)
            if uri and used + len(uri) <= budget:
                made[path] = uri
                used += len(uri)
    return made


def data_uri(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> str:
    """Return a small JPEG or PNG of an image file's bytes as a data URI.

    Raises:
        UnreadableImageError: it cannot be read, or has more than ``max_pixels`` pixels.
    """
    try:
        image = open_image(data, max_pixels)
        if image.format in ("JPEG", "MPO"):
            image.draft("RGB", (2 * SIDE, 2 * SIDE))  # decodes at 1/2, 1/4 or 1/8: up to 4 x faster
        image = to_rgb(image)
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    except UnreadableImageError:
        raise
    except Exception as error:
        # Pillow's plugins raise anything, and a picture in a page is no reason to end a stage.
        raise UnreadableImageError(str(error)) from error
    stream = io.BytesIO()
    if image.width * image.height <= _LOSSLESS_PIXELS:
        image.save(stream, "PNG", optimize=True)
        kind = "png"
    else:
        image.save(stream, "JPEG", quality=82)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
