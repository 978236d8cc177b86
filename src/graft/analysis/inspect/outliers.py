"""Images that stand out by one figure, by a rule that the outliers themselves cannot bend.

The modified z-score of a value x is 0.6745 (x - median) / MAD, with MAD the median absolute deviation from the
median; 0.6745 makes it agree with the ordinary z-score on normal data. Beyond 3.5 a value is an outlier:
B. Iglewicz and D. C. Hoaglin, "How to Detect and Handle Outliers", ASQC Basic References in Quality Control 16,
1993. Mean and standard deviation would not do: a few black frames move both until nothing stands out.
"""

import numpy as np

LIMIT = 3.5
# The quartile of the standard normal, and the root of pi / 2: what makes either deviation estimate sigma.
_MAD_FACTOR = 0.6745
_MEAN_FACTOR = 1.253314


def modified_z_scores(values: np.ndarray) -> np.ndarray:
    """Return the modified z-scores of values, float64 ``[N]``; all 0 where the values do not vary.

    Where more than half of the values are equal, the MAD is 0 and the mean absolute deviation takes its place.
    """
    centre, scale = _centre_and_scale(np.asarray(values, np.float64))
    return np.zeros(len(values)) if scale == 0 else (values - centre) / scale


def limits(values: np.ndarray) -> tuple[float, float] | None:
    """Return the values below and above which one is an outlier; None where they do not vary."""
    centre, scale = _centre_and_scale(np.asarray(values, np.float64))
    return None if scale == 0 else (centre - LIMIT * scale, centre + LIMIT * scale)


def _centre_and_scale(values: np.ndarray) -> tuple[float, float]:
    if not len(values):
        return 0.0, 0.0
    centre = float(np.median(values))
    deviations = np.abs(values - centre)
    mad = float(np.median(deviations))
    return centre, mad / _MAD_FACTOR if mad > 0 else float(deviations.mean()) * _MEAN_FACTOR
