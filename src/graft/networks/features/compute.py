"""Compute rows for images, each once: what the store has is read, the rest goes through an engine and is stored."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace

import numpy as np

from graft.core.cluster import is_for_cluster
from graft.core.progress import console, progress_bar
from graft.networks.decode_images import KeyedImages, Photographs, release_pages
from graft.networks.engines.openvino_run import WORTH_CONVERTING, Run
from graft.networks.features.compute_on_cluster import Prepare, Remote, compute_on_cluster
from graft.networks.features.feature_store import Space

# Images decoded, computed and written at a time; the next ones are decoded meanwhile. Fewer where what comes out of
# them is large.
CHUNK = 256
AHEAD = 2
CHUNK_BYTES = 64 * 1024**2
NOT_SENT = "computed here, not on Ray: without GPUs there it needs train.store, float32 and what OpenVINO takes over"


def fill(
    outputs: np.ndarray,
    engine: Callable[[int], Run],
    images: KeyedImages,
    label: str,
    space: Space | None = None,
    prepare: Prepare | None = None,
    remote: Callable[[], Remote | None] | None = None,
) -> None:
    """Fill ``outputs`` ``[N, ...]``, a row per image; ``engine`` is called with the number of images to compute.

    Args:
        remote: returns how the network comes to other machines, once the engine is open here; None where it cannot.

    The rest as :func:`graft.networks.features.extract.extract` takes it.
    """
    keys = images.keys if space is not None or prepare else []
    count = len(images)
    missing = np.arange(count) if space is None else space.read(keys, outputs)
    if remote and isinstance(images, Photographs) and is_for_cluster(len(missing)):
        missing = _filled_by_cluster(outputs, missing, engine, images, label, space, prepare, remote)
    if len(missing) < count:
        label = f"{label} ({count - len(missing)} of {count} known)"
    size = max(8, min(CHUNK, CHUNK_BYTES // max(1, outputs[:1].nbytes)))
    chunks = [missing[start : start + size] for start in range(0, len(missing), size)]
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as writer:
        written: Future[bool] | None = None
        # Decoding goes on while the network is converted, and while the chunk before is computed.
        ahead = deque(pool.submit(images.at, chunk) for chunk in chunks[:AHEAD])
        run = engine(len(missing)) if chunks else None
        # What is all there takes no time worth a line.
        is_silent = space is not None and not chunks
        bar = nullcontext(lambda steps: None) if is_silent else progress_bar(label, len(missing))
        with bar as advance:
            for number, indices in enumerate(chunks):
                pixels = ahead.popleft().result()
                ahead.extend(pool.submit(images.at, chunk) for chunk in chunks[number + AHEAD :][:1])
                chosen = [keys[index] for index in indices] if keys else []
                assert run is not None  # there is something missing
                rows = run(prepare(pixels, chosen) if prepare else pixels)
                if space is not None:
                    # Also now as they will be read: a second run must not come to other figures than the first.
                    rows = space.as_stored(rows)
                    # Onto the disk while the next chunk is computed; no more than one chunk waits for it.
                    if written is not None:
                        written.result()
                    written = writer.submit(space.write, chosen, rows)
                outputs[indices] = rows
                release_pages(outputs)
                advance(len(indices))
        if written is not None:
            written.result()


def _filled_by_cluster(
    outputs: np.ndarray,
    missing: np.ndarray,
    engine: Callable[[int], Run],
    images: Photographs,
    label: str,
    space: Space | None,
    prepare: Prepare | None,
    remote: Callable[[], Remote | None],
) -> np.ndarray:
    """Fill what is missing on Ray; return the indices that are missing after that.

    That is all of them where the network does not go to other machines.
    """
    engine(max(len(missing), WORTH_CONVERTING))  # puts it into the form in which they open it, where it is not yet
    found = remote()
    if found is None:
        console.print(f"{label}: {NOT_SENT}", soft_wrap=True)
        return missing
    with progress_bar(f"{label}, on Ray", len(missing)) as advance:
        for indices, rows in compute_on_cluster(images, missing, found, space, prepare):
            if rows is not None:
                outputs[indices] = rows.reshape(len(rows), *outputs.shape[1:])
            advance(len(indices))
    if space is None:
        return np.empty(0, np.int64)
    # From the store, opened anew: the actors have put it there, or somebody else has meanwhile.
    return replace(space).read(images.keys, outputs)
