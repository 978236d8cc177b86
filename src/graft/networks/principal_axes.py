"""Standardised features on their principal axes: as few numbers an image as there are images, or features.

A turn changes neither the inner products of features and kernel nor the kernel's length, so that what is fitted on
the axes under a penalty on that length is what would be fitted on the features. N images span at most N axes: of many
more features than images, nothing is lost and most of the arithmetic is saved (T. Hastie and R. Tibshirani, Efficient
quadratic regularization for expression arrays, Biostatistics 5, 2004, section 2).
"""

from dataclasses import dataclass

import numpy as np

# Images at a time.
CHUNK = 4096
# Axes with less than this share of the largest one's mean square hold rounding errors.
LEAST_SPECTRUM = {"float32": 1e-6, "float64": 1e-12}
# A feature with a smaller deviation than this, relative to its mean or to the largest deviation, is constant up to
# rounding.
LEAST_DEVIATION = 1e-5


@dataclass(frozen=True)
class PrincipalAxes:
    """The map from features to coordinates on the axes, and from a kernel on the axes to one on the features.

    Attributes:
        mean, scale: of each feature, float64 ``[D]``; the scale is its standard deviation, infinite where it is
            constant.
        vectors: ``[D, R]``, orthonormal.
        spectrum: mean square of the coordinates on each axis, ``[R]``.
    """

    mean: np.ndarray
    scale: np.ndarray
    vectors: np.ndarray
    spectrum: np.ndarray

    def coordinates(self, features: np.ndarray, order: np.ndarray) -> np.ndarray:
        """Return the coordinates ``[len(order), R]`` of the images at the indices ``order``."""
        found = np.empty((len(order), len(self.spectrum)), self.vectors.dtype)
        for start in range(0, len(order), CHUNK):
            part = features[order[start : start + CHUNK]]
            found[start : start + CHUNK] = self._standardised(part) @ self.vectors
        return found

    def on_features(self, kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the kernel float32 ``[D, C]`` and bias float32 ``[C]`` that do on raw features what these do here."""
        folded = (self.vectors @ kernel).astype(np.float64) / self.scale[:, None]
        return folded.astype(np.float32), (bias - self.mean @ folded).astype(np.float32)

    def _standardised(self, features: np.ndarray) -> np.ndarray:
        dtype = self.vectors.dtype
        return (features.astype(dtype) - self.mean.astype(dtype)) / self.scale.astype(dtype)


def principal_axes(features: np.ndarray, weights: np.ndarray, dtype: np.dtype) -> PrincipalAxes:
    """Return the axes of features ``[N, D]`` standardised by weighted mean and deviation.

    They are the eigenvectors of the smaller of two matrices, of images or of features.

    Args:
        features: finite numbers.
        weights: of the images, ``[N]``, above 0.
        dtype: to compute in, float32 or float64.
    """
    from scipy.linalg import eigh

    count, width = features.shape
    shares = np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64)
    mean, square = np.zeros(width), np.zeros(width)
    parts = [slice(start, start + CHUNK) for start in range(0, count, CHUNK)]
    for part in parts:
        mean += shares[part] @ features[part].astype(np.float64)
    for part in parts:
        square += shares[part] @ np.square(features[part].astype(np.float64) - mean)
    scale = np.sqrt(square)
    scale[scale <= LEAST_DEVIATION * np.maximum(np.abs(mean), scale.max(initial=0.0))] = np.inf
    plain = PrincipalAxes(mean, scale, np.empty((width, 0), dtype), np.empty(0, dtype))
    roots = np.sqrt(shares).astype(dtype)[:, None]
    by_images = count <= width
    rows = roots * plain._standardised(features) if by_images else np.empty((0, 0), dtype)
    products = rows @ rows.T if by_images else np.zeros((width, width), dtype)
    for part in [] if by_images else parts:
        some = roots[part] * plain._standardised(features[part])
        products += some.T @ some
    spectrum, found = eigh(products, driver="evd", overwrite_a=True, check_finite=False)
    # Not the axis of nothing, where all features are constant.
    is_real = spectrum > LEAST_SPECTRUM[dtype.name] * max(float(spectrum[-1]), np.finfo(dtype).tiny)
    vectors = found[:, is_real]
    if by_images:
        vectors = rows.T @ (vectors / np.sqrt(spectrum[is_real]))
    return PrincipalAxes(mean, scale, np.ascontiguousarray(vectors), spectrum[is_real])
