"""A stream of photographs through a classifier: in order, in chunks, in bounded memory, whatever is broken."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from brightest_channel import CLASSES, Brightest, coloured

from graft.bundle.images import UnreadableImageError
from graft.core.quotas import cores
from graft.deployment.predict import predict_photographs as module
from graft.deployment.predict.inputs import Photograph, find_photographs
from graft.deployment.predict.predict_photographs import predict_photographs


def stream(count: int, broken: int = -1) -> Iterator[Photograph]:
    for index in range(count):
        data = b"nothing" if index == broken else coloured(index % 3)
        yield Photograph(f"{index}.png", lambda data=data: data)


def test_answers_come_in_order(brightest: Brightest) -> None:
    found = list(predict_photographs(brightest, stream(600)))
    assert [name for some in found for name in some.names] == [f"{index}.png" for index in range(600)]
    best = np.concatenate([some.probabilities for some in found]).argmax(axis=1)
    np.testing.assert_array_equal(best, np.arange(600) % 3)
    assert brightest.chunks == [256, 256, 88]


def test_a_broken_one_has_its_problem_in_its_place(brightest: Brightest) -> None:
    (found,) = predict_photographs(brightest, stream(5, broken=2))
    assert found.problems == ["", "", "not an image that can be read, but text", "", ""]
    assert np.isnan(found.probabilities[2]).all()
    assert np.isfinite(found.probabilities[[0, 1, 3, 4]]).all()
    assert brightest.chunks == [4]


def test_nothing_but_broken_ones_asks_the_network_nothing(brightest: Brightest) -> None:
    (found,) = predict_photographs(brightest, stream(1, broken=0))
    assert np.isnan(found.probabilities).all()
    assert brightest.chunks == []
    assert list(predict_photographs(brightest, stream(0))) == []


def test_what_cannot_be_opened_is_a_problem_too(brightest: Brightest) -> None:
    def refuse() -> bytes:
        raise UnreadableImageError("no such file")

    (found,) = predict_photographs(brightest, [Photograph("gone", refuse)])
    assert found.problems == ["no such file"]


def test_large_images_come_in_smaller_chunks() -> None:
    classifier = Brightest((1500, 8))
    list(predict_photographs(classifier, stream(20)))
    per_image = 3 * (1500**2 + 8**2)
    assert classifier.chunks[0] == max(module.LEAST_CHUNK, module.CHUNK_BYTES // per_image)


def test_no_more_is_read_than_can_be_worked_on(brightest: Brightest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 8)
    taken = 0
    most_ahead = 0
    answered = 0
    lock = threading.Lock()

    def counted() -> Iterator[Photograph]:
        nonlocal taken, most_ahead
        for one in stream(400):
            with lock:
                taken += 1
                most_ahead = max(most_ahead, taken - answered)
            yield one

    for some in predict_photographs(brightest, counted()):
        answered += len(some.names)
    assert answered == 400
    threads = cores()
    assert most_ahead <= 3 * 8 + 2 * threads + 1


def test_an_error_of_the_classifier_is_not_swallowed(brightest: Brightest, photos: Path) -> None:
    def fail(pixels: object) -> np.ndarray:
        raise RuntimeError("out of memory")

    brightest.answers = fail  # type: ignore[method-assign,assignment]
    (some,) = find_photographs([str(photos)])
    with pytest.raises(RuntimeError, match="out of memory"):
        list(predict_photographs(brightest, some.read()))
    assert brightest.classes == CLASSES
