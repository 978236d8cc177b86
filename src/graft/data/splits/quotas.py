"""Whole numbers in given proportions, and taking an exact number of images from every class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graft.core.errors import GraftError


def quotas(
    count: int, shares: Sequence[float], minima: Sequence[int], maxima: Sequence[int] | None = None
) -> list[int]:
    """``count`` divided by shares into whole numbers: nearest to the shares, within minima and maxima.

    The minima may add up to no more than ``count``, the maxima to no less.
    """
    most = maxima or [count] * len(shares)
    exact = [count * share for share in shares]
    whole = [min(max(int(value), low), high) for value, low, high in zip(exact, minima, most, strict=True)]
    while (left := count - sum(whole)) != 0:
        step = 1 if left > 0 else -1
        able = [i for i, n in enumerate(whole) if (n < most[i] if step > 0 else n > minima[i])]
        # The one that is furthest from its exact share in the direction of the step; of equals the first.
        whole[max(able, key=lambda i: (step * (exact[i] - whole[i]), -i))] += step
    return whole


def exact_quotas(counts: Mapping[str, int], number: int, keep: int, setting: str) -> dict[str, int]:
    """How many images to take of each class so that they are ``number`` in all, in the classes' proportions.

    Every class gives at least one and keeps at least ``keep``.

    Args:
        keep: images of each class to leave behind.
        setting: what asks for it, for messages, such as ``split.test_size``.

    Raises:
        GraftError: there are fewer images, or more classes, than that allows.
    """
    labels = sorted(counts)
    for label in labels:
        if counts[label] <= keep:
            raise GraftError(
                f"The class '{label}' has {counts[label]} different images, and {setting} takes at least 1 and "
                f"leaves at least {keep}",
                "Add images of it, or remove the class",
            )
    most = sum(counts.values()) - keep * len(labels)
    if not len(labels) <= number <= most:
        raise GraftError(
            f"{setting} is {number}, but of {sum(counts.values())} different images in {len(labels)} classes "
            f"between {len(labels)} and {most} can be taken",
            "Ask for another number, or for a fraction such as 0.2",
        )
    total = sum(counts.values())
    taken = quotas(
        number,
        [counts[label] / total for label in labels],
        [1] * len(labels),
        [counts[label] - keep for label in labels],
    )
    return dict(zip(labels, taken, strict=True))
