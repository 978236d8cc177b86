"""Images dealt to folds, so that what is fitted on validation images is judged on others than it was fitted to."""

from collections.abc import Iterator

import numpy as np

FOLDS = 10


def held_out_folds(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the images of each fold, bool ``[N]``; every image is in one fold.

    Args:
        images: what each image is, ``[N]``, such as its hash: copies are left out together. Images are dealt to the
            folds in this order, so that the outcome depends on nothing else.
    """
    _, rank = np.unique(images, return_inverse=True)
    folds = rank % FOLDS
    for fold in np.unique(folds):
        yield folds == fold
