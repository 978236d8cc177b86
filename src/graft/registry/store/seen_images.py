"""Record with its run which images a model was trained or validated on, to tell later whether a test image was new to
it.

``data/images.parquet`` in the run has a row for each image of training and validation: ``split`` (text) and
``sha256`` (32 bytes, of the file). Paths are left out: a renamed image is still one that was seen.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

IMAGES_FILE = "data/images.parquet"


def images_of(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the columns split and sha256 (hexadecimal) of split tables by name."""
    import pandas as pd

    parts = [table[["sha256"]].assign(split=split) for split, table in tables.items()]
    return pd.concat(parts, ignore_index=True)[["split", "sha256"]]


def log_seen_images(client: MlflowClient, run_id: str, seen: pd.DataFrame) -> None:
    """Write the images that a model was trained and validated on into its run.

    Args:
        seen: see :func:`images_of`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "split": pa.array(seen["split"], pa.string()).dictionary_encode(),
            # Half of what the text takes, and digests cannot be compressed.
            "sha256": pa.array([bytes.fromhex(digest) for digest in seen["sha256"]], pa.binary(32)),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(IMAGES_FILE).name
        pq.write_table(table, file)
        client.log_artifact(run_id, str(file), str(Path(IMAGES_FILE).parent))


def read_seen_images(client: MlflowClient, run_id: str) -> pd.DataFrame | None:
    """Return columns split and sha256 (hexadecimal) that :func:`log_seen_images` wrote, or None where the run has none.

    Runs of graft before this record existed have none, nor have those of other programs.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    folder = str(Path(IMAGES_FILE).parent)
    if IMAGES_FILE not in {entry.path for entry in client.list_artifacts(run_id, folder)}:
        return None
    with tempfile.TemporaryDirectory() as temporary:
        table = pq.read_table(client.download_artifacts(run_id, IMAGES_FILE, temporary))
        return pd.DataFrame(
            {"split": table["split"].to_pylist(), "sha256": [digest.hex() for digest in table["sha256"].to_pylist()]}
        )


def seen_by_members(client: MlflowClient, run_ids: Iterable[str]) -> pd.DataFrame | None:
    """Return the images that any member of an ensemble was trained or validated on, each image once.

    None where a member has no record: half a record would pass for a whole one.
    """
    import pandas as pd

    parts = [read_seen_images(client, run_id) for run_id in run_ids]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return pd.concat(known, ignore_index=True).drop_duplicates(ignore_index=True)
