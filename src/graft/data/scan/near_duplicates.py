"""Groups of near-duplicates: photographs that show the same but for a few pixels.

Frames of one film, a burst of one camera, the same picture saved twice. Two images are near-duplicates where

- their perceptual hashes (64 bits of a cosine transform; J. Buchner's imagehash.phash) differ in few bits, and
- their thumbnails (8x8 pixels, RGB) differ little, as root mean square in parts of the value range.

Either alone errs: objects before a white background collide in their hash, and pictures of the same colours in
their thumbnails. On rock-paper-scissors, 4 bits and 0.02 find pairs inside the series of one hand, and none
between hands; on sign-language digits, where every photograph is another person's, none at all.

Candidates are found by multi-index hashing (M. Norouzi, A. Punjani, D. Fleet: Fast search in Hamming space with
multi-index hashing, CVPR 2012): of b + 1 bands of bits, two hashes that differ in b bits at most agree in one, so
that only hashes in the same bucket of a band are compared. What is wanted is which images belong together, not
every pair of them; so images that belong together already are not compared, and memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graft.core.files import replaced_file
from graft.core.text_tables import read_text_table
from graft.data.scan.fingerprint import THUMBNAIL_BYTES

if TYPE_CHECKING:
    import pandas as pd

    from graft.core.params.models import ValidateParams

COLUMNS = ["path", "sha256", "label", "group"]
HASH_BITS = 64
_PAIRS = 1 << 20  # of hashes or of images, held at a time: some tens of MB
_COMPARED = 1 << 15  # pairs of thumbnails compared at a time: 6 MB a side
_LINKS = 1 << 18  # kept before they are replaced by what they amount to
_SETTLED = 1 << 14  # images, or pairs of hashes, looked at before what was found of them is made use of
_PART_PIXELS = 4 * 4
_KEY = 512.0  # between the sort keys of two hashes: more than the range of brightness and any limit on it


@dataclass(frozen=True)
class Limits:
    """How far near-duplicates may be apart.

    Attributes:
        bits: in which two perceptual hashes may differ.
        difference: root mean square over two thumbnails, in parts of the value range, 0 to 1.
    """

    bits: int
    difference: float

    @classmethod
    def of(cls, params: ValidateParams) -> Limits:
        """Return the limits that params.yaml sets."""
        return cls(params.near_duplicate_bits, params.near_duplicate_difference)


def find_near_duplicates(images: pd.DataFrame, limits: Limits) -> pd.DataFrame:
    """Return the images that take part and have a near-duplicate or an exact copy, with their group.

    Args:
        images: a manifest with the columns path, sha256, label, left_out, phash and thumbnail.
        limits: how far two images of a group may be apart; others of the group may be further.

    Returns:
        Columns path, sha256, label and group (all str), sorted by group and path. A group is called by the
        smallest SHA-256 in it, and has two images at least.
    """
    usable = images.loc[(images["left_out"] == "") & (images["phash"] != ""), [*COLUMNS[:3], "phash", "thumbnail"]]
    hashes = np.array([int(text, 16) for text in usable["phash"]], dtype=np.uint64)
    pixels = np.frombuffer(b"".join(usable["thumbnail"]), dtype=np.uint8).reshape(-1, THUMBNAIL_BYTES)
    found = usable[COLUMNS[:3]].assign(component=components(hashes, pixels, limits))
    found = found[found.groupby("component")["path"].transform("size") > 1]
    found = found.assign(group=found.groupby("component")["sha256"].transform("min"))
    return found[COLUMNS].sort_values(["group", "path"], ignore_index=True)


def components(hashes: np.ndarray, thumbnails: np.ndarray, limits: Limits) -> np.ndarray:
    """Return the number of each image's group, int32 ``[n]``; images without a partner have their own.

    Args:
        hashes: perceptual hashes, uint64 ``[n]``.
        thumbnails: pixels, uint8 ``[n, 192]``.
    """
    # What is equal in both is one item, however often it is there.
    packed = np.ascontiguousarray(np.hstack([hashes[:, None].view(np.uint8), thumbnails]))
    _, first, item_of = np.unique(packed.view(f"V{packed.shape[1]}").ravel(), return_index=True, return_inverse=True)
    return _Search(hashes[first], thumbnails[first], limits).run()[item_of]


def write_near_duplicates(groups: pd.DataFrame, path: Path) -> None:
    """Write groups as CSV: UTF-8, LF, equal for equal groups."""
    with replaced_file(path) as partial:
        groups[COLUMNS].to_csv(partial, index=False, lineterminator="\n", encoding="utf-8")


def read_near_duplicates(path: Path) -> pd.DataFrame:
    """Return the groups that :func:`write_near_duplicates` wrote; strings are never null.

    Raises:
        GraftError: there is no such file, or it has other columns.
    """
    return read_text_table(path, "a list of near-duplicates", "Make it with `dvc repro -f validate`", COLUMNS)


class _Search:
    """Items sorted by hash and brightness, so that candidates of an item are runs of neighbours."""

    def __init__(self, hashes: np.ndarray, thumbnails: np.ndarray, limits: Limits) -> None:
        self.hashes, of_item = np.unique(hashes, return_inverse=True)
        brightness = thumbnails.mean(axis=1, dtype=np.float64)
        # By Jensen's inequality, the means of two thumbnails are no further apart than their pixels are.
        self.reach = min(limits.difference * 255, 255.0) + 1e-6
        keys = of_item * _KEY + brightness
        self.order = np.argsort(keys, kind="stable")
        self.keys = keys[self.order]
        self.brightness = brightness[self.order]
        self.thumbnails = thumbnails[self.order]
        parts = self.thumbnails.reshape(-1, 2, 4, 2, 4, 3).mean(axis=(2, 4), dtype=np.float32)
        self.coarse = parts.reshape(-1, THUMBNAIL_BYTES // _PART_PIXELS)
        self.starts = np.searchsorted(self.keys, np.arange(len(self.hashes) + 1) * _KEY)
        self.bits = limits.bits
        self.most = THUMBNAIL_BYTES * (limits.difference * 255) ** 2 + 1e-6  # sum of squares
        self.links = _Links(len(hashes))

    def run(self) -> np.ndarray:
        """Return the component of each item."""
        count = len(self.order)
        own = np.repeat(np.arange(len(self.hashes)), np.diff(self.starts))
        # Neighbours first: in a static film this links all frames, and leaves nothing to compare below.
        for step in (1, 2, 3):
            left = np.arange(max(count - step, 0))
            self._compare(left[own[left] == own[left + step]], step)
        self.links.merge()
        # The others of the same hash, up to the brightness within reach.
        for items in _chunks(np.flatnonzero(np.diff(self.starts)[own] > 1), _SETTLED):
            ends = np.searchsorted(self.keys, self.keys[items] + self.reach, side="right")
            self._link(items, items + 1, ends)
            self.links.merge()
        for left, right in near_hashes(self.hashes, self.bits):
            for part in _chunks(np.arange(len(left)), _SETTLED):
                self._across(left[part], right[part])
                self.links.merge()
        self.links.merge()
        result = np.empty(count, dtype=np.int32)
        result[self.order] = self.links.components
        return result

    def _across(self, left: np.ndarray, right: np.ndarray) -> None:
        """Compare items of one hash with those of another, for many pairs of hashes."""
        component, firsts, lasts = self.links.components, self.starts[:-1], self.starts[1:] - 1
        uniform = self.links.next_other[firsts] > lasts
        linked = uniform[left] & uniform[right] & (component[firsts[left]] == component[firsts[right]])
        left, right = left[~linked], right[~linked]
        for rows, items in _runs(self.starts[left], self.starts[left + 1], _PAIRS):
            middle = right[rows] * _KEY + self.brightness[items]
            starts = np.searchsorted(self.keys, middle - self.reach)
            ends = np.searchsorted(self.keys, middle + self.reach, side="right")
            self._link(items, starts, ends)

    def _link(self, items: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> None:
        """Compare each item with a run of others, less those at the run's head that it is linked with already."""
        component = self.links.components
        inside = starts < ends
        items, starts, ends = items[inside], starts[inside], ends[inside]
        same = component[starts] == component[items]
        starts = np.where(same, self.links.next_other[starts], starts)
        for rows, others in _runs(starts, np.maximum(ends, starts), _COMPARED):
            self._compare_pairs(items[rows], others)

    def _compare(self, left: np.ndarray, step: int) -> None:
        for part in _chunks(left, _COMPARED):
            self._compare_pairs(part, part + step)

    def _compare_pairs(self, left: np.ndarray, right: np.ndarray) -> None:
        component = self.links.components
        apart = component[left] != component[right]
        left, right = left[apart], right[apart]
        # Means over parts of two thumbnails are no further apart than their pixels are, and are 16 times fewer.
        difference = self.coarse[left] - self.coarse[right]
        near = np.einsum("ij,ij->i", difference, difference) <= self.most / _PART_PIXELS + 1e-2
        left, right = left[near], right[near]
        exact = self.thumbnails[left].astype(np.int32) - self.thumbnails[right]
        near = np.einsum("ij,ij->i", exact, exact) <= self.most
        self.links.add(left[near], right[near])


class _Links:
    """The links between items that were found so far, and the components that they make.

    Attributes:
        components: number of the component of each item, int32.
        next_other: the first item behind each one that is of another component, in the items' order.
    """

    def __init__(self, count: int) -> None:
        self.components = np.arange(count, dtype=np.int32)
        self.next_other = np.arange(1, count + 1)
        self.pending: list[tuple[np.ndarray, np.ndarray]] = []
        self.size = 0

    def add(self, left: np.ndarray, right: np.ndarray) -> None:
        if not len(left):
            return
        self.pending.append((left, right))
        self.size += len(left)
        if self.size > _LINKS:
            self.merge()

    def merge(self) -> None:
        """Merge the pending links into components, after which they are not needed."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if not self.pending:
            return
        left, right = (self.components[np.concatenate(side)] for side in zip(*self.pending, strict=True))
        count = len(self.components)
        graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(count, count))
        _, merged = connected_components(graph, directed=False)
        self.components = merged[self.components].astype(np.int32)
        self.pending, self.size = [], 0
        ends = np.append(np.flatnonzero(np.diff(self.components)), count - 1)
        self.next_other = ends[np.searchsorted(ends, np.arange(count))] + 1


def near_hashes(hashes: np.ndarray, bits: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield every pair of hashes that differ in ``bits`` bits at most, once, in portions.

    Args:
        hashes: uint64 ``[n]``, all different.
        bits: at least 0 and less than 64.

    Yields:
        Two arrays of positions in ``hashes``, of equal length.
    """
    # Of bits + 1 bands, two such hashes agree in one whole band at least: by the pigeonhole principle. Neighbouring
    # bits vary together, so they are dealt out to different bands.
    bands = [np.uint64(sum(1 << place for place in range(first, HASH_BITS, bits + 1))) for first in range(bits + 1)]
    for number, band in enumerate(bands):
        values = hashes & band
        order = np.argsort(values, kind="stable")
        edges = np.append(np.flatnonzero(np.diff(values[order])) + 1, len(hashes))
        positions = np.arange(len(hashes))
        bucket_ends = edges[np.searchsorted(edges, positions, side="right")]
        for rows, others in _runs(positions + 1, bucket_ends, _PAIRS):
            left, right = order[rows], order[others]
            unlike = hashes[left] ^ hashes[right]
            near = np.bitwise_count(unlike) <= bits
            for earlier in bands[:number]:  # a pair that agrees there was found there
                near &= (unlike & earlier) != 0
            if near.any():
                yield left[near], right[near]


def _runs(starts: np.ndarray, ends: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield every number of every range ``starts[i] .. ends[i] - 1`` with its ``i``, about ``size`` at a time."""
    lengths = ends - starts
    total = np.concatenate([[0], np.cumsum(lengths)])
    for begin in range(0, int(total[-1]), size):
        end = min(begin + size, int(total[-1]))
        first = int(np.searchsorted(total, begin, side="right")) - 1
        last = int(np.searchsorted(total, end))
        counts = np.minimum(total[first + 1 : last + 1], end) - np.maximum(total[first:last], begin)
        rows = np.repeat(np.arange(first, last), counts)
        yield rows, starts[rows] + np.arange(begin, end) - total[rows]


def _chunks(values: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
