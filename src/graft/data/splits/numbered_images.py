"""The images of a split as a table of small numbers, so that a million of them fit into a small machine.

A SHA-256 as text takes 72 bytes a copy, as a Python object 113, and a split compares and sorts it many times over.
Here it is a number, its place among the different ones in order, which compares and sorts as the text does; so is
a group. (pandas' categories would keep a Python object of each different text; for labels that does no harm.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graft.core.project import SPLITS

if TYPE_CHECKING:
    import pandas as pd
    from pandas.api.extensions import ExtensionArray

_CHUNK = 1 << 16  # texts that are Python objects at a time


@dataclass(frozen=True)
class Names:
    """The texts that the numbers of a column stand for.

    Attributes:
        texts: all that are different, str, sorted; a number is a position.
    """

    texts: ExtensionArray

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, number: int) -> str:
        return str(self.texts[number])

    def of(self, numbers: np.ndarray) -> ExtensionArray:
        """Return the text of each of many numbers."""
        return self.texts.take(numbers)


def numbered(texts: pd.Series) -> tuple[np.ndarray, Names]:
    """Return the number of each text, int32 ``[n]``, and what the numbers stand for."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    # By sorting: a table of hashes would take six times the memory.
    values = pa.table({"texts": texts})["texts"]
    order = pc.sort_indices(values)
    ordered = values.take(order)
    new = np.ones(len(ordered), dtype=bool)
    if len(ordered) > 1:
        new[1:] = pc.not_equal(ordered[1:], ordered[:-1]).to_numpy()
    numbers = np.empty(len(ordered), dtype=np.int32)
    numbers[order.to_numpy()] = np.cumsum(new, dtype=np.int32) - 1
    different = ordered if new.all() else ordered.filter(pa.array(new))
    return numbers, Names(pd.array(different, dtype="str"))


def coded(images: pd.DataFrame) -> tuple[pd.DataFrame, Names]:
    """Return a manifest's images with numbers in place of their SHA-256, and what the numbers stand for.

    Columns path (str), label and split (categories) and sha256 (int32), with the images' index.
    """
    import pandas as pd

    digests, names = numbered(images["sha256"])
    table = pd.DataFrame(
        {
            "path": images["path"],
            "label": images["label"].astype("category"),
            "sha256": digests,
            "split": images["split"].astype(pd.CategoricalDtype(["", *SPLITS])),
        },
        index=images.index,
    )
    return table, names


def differing(keys: pd.Series, values: pd.Series) -> np.ndarray:
    """Return for each image whether images of the same key have other values: bool ``[n]``.

    Args:
        keys: numbers, 0 or more.
    """
    numbers, own = keys.to_numpy(), values.cat.codes.to_numpy()
    last = np.zeros(numbers.max(initial=-1) + 1, dtype=own.dtype)
    last[numbers] = own
    found: np.ndarray = members(numbers[own != last[numbers]], len(last))[numbers]
    return found


def members(numbers: np.ndarray, size: int) -> np.ndarray:
    """Return which numbers below ``size`` are among those given: bool ``[size]``."""
    found = np.zeros(size, dtype=bool)
    found[numbers] = True
    return found


def as_tables(images: pd.DataFrame, digests: Names, groups: Names) -> dict[str, pd.DataFrame]:
    """Return the table of each split: columns sha256, label, path, group, all str, sorted by them.

    Args:
        images: coded, with the column group (int32), sorted by path.
        digests: what their numbers in sha256 stand for.
    """
    import pandas as pd

    tables = {}
    for split in SPLITS:
        rows = images[images["split"] == split]
        # Equal keys stay in order of path.
        rows = rows.iloc[np.lexsort([rows["label"].cat.codes, rows["sha256"]])]
        sha256 = digests.of(rows["sha256"].to_numpy())
        tables[split] = pd.DataFrame(
            {
                "sha256": sha256,
                "label": rows["label"].astype("str").array,
                "path": rows["path"].array,
                # Where each image is a group by itself, one copy of the text serves for both.
                "group": sha256 if groups is digests else groups.of(rows["group"].to_numpy()),
            }
        )
    return tables


def mapped(texts: pd.Series, function: Callable[[str], str]) -> pd.Series:
    """Map a function over texts, to str with the same index; few of them are Python objects at a time."""
    import pandas as pd

    starts = range(0, max(len(texts), 1), _CHUNK)
    return pd.concat([texts.iloc[start : start + _CHUNK].map(function).astype("str") for start in starts])
