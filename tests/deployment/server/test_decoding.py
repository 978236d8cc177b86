"""Decoding within a bound on the pixels that are decoded at a time."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from malformed import encoded
from stand_ins import Levels, served

from graft.bundle.images import UnreadableImageError
from graft.deployment.server.predicting import PixelBudget, decode_image


def test_no_more_pixels_than_the_budget_are_decoded_at_a_time() -> None:
    budget = PixelBudget(10)
    lock = threading.Lock()
    now, most = 0, 0

    def decode(pixels: int) -> None:
        nonlocal now, most
        with budget.taken(pixels):
            with lock:
                now += pixels
                most = max(most, now)
            pause.wait(0.001)
            with lock:
                now -= pixels

    pause = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, [1, 10, 3, 3, 3, 7, 2, 10, 5, 5] * 10))
    assert (now, most) == (0, 10)


def test_a_large_image_is_not_overtaken() -> None:
    budget = PixelBudget(10)
    order: list[str] = []
    pause = threading.Event()

    def decode(name: str, pixels: int) -> None:
        with budget.taken(pixels):
            order.append(name)

    with budget.taken(1):
        threads = [
            threading.Thread(target=decode, args=("large", 10)),
            threading.Thread(target=decode, args=("small", 1)),
        ]
        threads[0].start()
        while not budget._turn.locked():
            pause.wait(0.001)
        threads[1].start()
        threads[1].join(timeout=0.1)
        assert order == []
    for thread in threads:
        thread.join()
    assert order == ["large", "small"]


def test_what_is_given_up_is_given_back() -> None:
    budget = PixelBudget(10)
    with pytest.raises(KeyError), budget.taken(10):
        raise KeyError
    with budget.taken(10):
        pass


class Fails(Levels):
    """A classifier whose decoder raises what no decoder should."""

    max_pixels = 10_000

    def to_pixels(self, data: bytes) -> dict[int, object]:  # type: ignore[override]
        raise MemoryError


def test_whatever_a_decoder_raises_says_something_about_the_bytes() -> None:
    budget = PixelBudget(2_000)
    model = served(classifier=Fails())
    with pytest.raises(UnreadableImageError, match=r"not an image that can be read \(MemoryError\)"):
        decode_image(model, encoded(), 2_000, budget)
    with pytest.raises(UnreadableImageError, match="40x30 is more than 1000 pixels"):
        decode_image(model, encoded(), 1_000, budget)
    model.classifier.max_pixels = 900
    with pytest.raises(UnreadableImageError, match="40x30 is more than 900 pixels"):
        decode_image(model, encoded(), 2_000, budget)
