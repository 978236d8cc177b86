"""Set a share of what came after an official split aside, as test images beside the official ones.

An official test set stays as it was published, so that no new image is ever judged on. With ``split.new_to_test`` a
share of the groups that came later is kept out of training. They are in the table of test, with ``new`` in a column of
their own, and no figure of the official images has a part of them (:mod:`graft.data.splits.split_tables`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from graft.core.params.models import SplitParams
from graft.data.splits.assignment import hash_position
from graft.data.splits.numbered_images import Names, members
from graft.data.splits.split_memory import Memory

if TYPE_CHECKING:
    import pandas as pd


def set_aside(
    images: pd.DataFrame, names: Names, params: SplitParams, memory: Memory
) -> tuple[pd.DataFrame, pd.DataFrame, Memory]:
    """Return the images that are divided, those that are set aside, and the memory, which says what was there before.

    A group is set aside by its hash alone, so that growth moves none; what is there when the setting is first found is
    none that came later.

    Args:
        images: coded, with the columns split and group; those of train are set aside.
        names: of the groups.
    """
    key = f"new_to_test, group_by {params.group_by}"
    groups = np.unique(images["group"].to_numpy())
    texts = [str(name) for name in names.of(groups)]
    before = memory.names.get(key)
    if before is None:
        before = {name: name for name in texts}
        memory = replace(memory, names={**memory.names, key: before})
    is_aside = np.array(
        [name not in before and hash_position("new_to_test", name, params.seed) < params.new_to_test for name in texts]
    )
    chosen = members(groups[is_aside], len(names))[images["group"].to_numpy()]
    chosen &= (images["split"] == "train").to_numpy()
    return images[~chosen].reset_index(drop=True), images[chosen], memory
