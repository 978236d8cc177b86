"""MATLAB's files: vectors by name, and those that would take the memory or the process are refused."""

import io
import zlib

import numpy as np
import pytest
from scipy.io import savemat

from graft.core.errors import GraftError
from graft.data.sources.matlab_files import vectors_of_mat


def saved(compressed=False, **arrays):
    stream = io.BytesIO()
    savemat(stream, arrays, do_compression=compressed)
    return stream.getvalue()


def nested(levels):
    value = np.array([[1]])
    for _ in range(levels):
        outer = np.empty((1, 1), dtype=object)
        outer[0, 0] = value
        value = outer
    return saved(x=value)


def bomb():
    zeros = zlib.compress(bytes(250_000_000), 9)
    return saved(x=[[1, 2]])[:128] + b"\x0f\0\0\0" + len(zeros).to_bytes(4, "little") + zeros


@pytest.mark.parametrize("compressed", [False, True])
def test_vectors_are_read_by_name(compressed):
    names = np.array([["cat", "hot dog"]], dtype=object)
    data = saved(compressed, labels=[[1, 2, 1]], names=names, ids=[[7], [8]], square=[[1, 2], [3, 4]])
    assert vectors_of_mat("a.mat", data) == {"labels": [1, 2, 1], "names": ["cat", "hot dog"], "ids": [7, 8]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (nested(60), "too many matrices in each other"),
        (bomb(), "unpacks to too much"),
        (b"MATLAB 7.3 MAT-file" + bytes(600), "another version"),
        (saved(labels=[[1, 2, 1]])[:-20], ""),
        (saved(True, labels=[[1, 2, 1]])[:-9], ""),
        (b"", "another version"),
        (saved(labels=[[1, 2, 1]])[:136] + bytes(200), "it is damaged"),  # ends scipy's process
    ],
)
def test_what_would_take_the_memory_or_is_damaged_is_refused(data, message):
    with pytest.raises(GraftError, match=f"a.mat is no MATLAB file that can be read: .*{message}"):
        vectors_of_mat("a.mat", data)
