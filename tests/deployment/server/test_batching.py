"""Images that are under way together are answered together; each gets its own answer."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from stand_ins import Levels, pixels, served

from graft.deployment.server.batching import Batcher
from graft.deployment.server.server_metrics import Metrics


def run(test: Callable[[Batcher], Awaitable[None]], max_batch: int = 4, max_wait: float = 1000) -> Metrics:
    """Runs a test with a batcher; ``max_wait`` is so long that a test which waited for it would be noticed."""
    metrics = Metrics()

    async def main() -> None:
        batcher = Batcher(max_batch, max_wait, metrics)
        batcher.start()
        try:
            async with asyncio.timeout(60):
                await test(batcher)
        finally:
            await batcher.stop()

    asyncio.run(main())
    return metrics


def test_one_image_waits_for_nobody() -> None:
    async def test(batcher: Batcher) -> None:
        row = await batcher.answer(served(), pixels(51))
        assert (row.label, row.probability) == ("dark", pytest.approx(0.8))
        np.testing.assert_allclose(row.probabilities, [0.2, 0.8])

    run(test)


def test_what_comes_while_the_network_is_busy_is_one_batch() -> None:
    classifier = Levels()
    model = served(classifier=classifier)

    async def test(batcher: Batcher) -> None:
        classifier.free.clear()
        first = asyncio.create_task(batcher.answer(model, pixels(0)))
        await asyncio.to_thread(classifier.entered.wait)
        others = [asyncio.create_task(batcher.answer(model, pixels(level))) for level in range(1, 7)]
        await asyncio.sleep(0)  # all of them ask
        classifier.free.set()
        answers = await asyncio.gather(first, *others)
        for level, row in enumerate(answers):
            assert row.probabilities[0] == pytest.approx(level / 255)

    metrics = run(test)
    assert classifier.batches == [1, 4, 2]
    assert b"graft_batch_images_sum 7.0" in metrics.text()


def test_a_batch_waits_for_images_that_are_being_decoded() -> None:
    classifier = Levels()
    model = served(classifier=classifier)

    async def test(batcher: Batcher) -> None:
        async def decoded_after(seconds: float) -> None:
            with batcher.decoding():
                await asyncio.sleep(seconds)
            await batcher.answer(model, pixels(1))

        await asyncio.gather(decoded_after(0), decoded_after(0.05), decoded_after(0.1))

    run(test)
    assert classifier.batches == [3]


def test_it_does_not_wait_longer_than_it_may() -> None:
    async def test(batcher: Batcher) -> None:
        with batcher.decoding():  # and never done
            await batcher.answer(served(), pixels(1))

    run(test, max_wait=0.01)


def test_a_decoder_that_fails_holds_nobody_up() -> None:
    async def test(batcher: Batcher) -> None:
        async def fails() -> None:
            with pytest.raises(KeyError), batcher.decoding():
                await asyncio.sleep(0.05)
                raise KeyError

        await asyncio.gather(fails(), batcher.answer(served(), pixels(1)))

    run(test)


def test_a_batch_never_mixes_two_models() -> None:
    old, new = Levels(), Levels()
    models = [served("1", old), served("2", new)]

    async def test(batcher: Batcher) -> None:
        old.free.clear()
        order = [0, 0, 0, 1, 1, 0]
        tasks = [asyncio.create_task(batcher.answer(models[which], pixels(9))) for which in order]
        await asyncio.sleep(0)
        old.free.set()
        await asyncio.gather(*tasks)

    run(test, max_batch=8)
    assert sum(old.batches) == 4
    assert new.batches == [2]


def test_an_image_that_nobody_waits_for_is_not_computed() -> None:
    classifier = Levels()
    model = served(classifier=classifier)

    async def test(batcher: Batcher) -> None:
        classifier.free.clear()
        first = asyncio.create_task(batcher.answer(model, pixels(0)))
        await asyncio.to_thread(classifier.entered.wait)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await batcher.answer(model, pixels(1))
        classifier.free.set()
        await first
        await batcher.answer(model, pixels(2))

    run(test)
    assert classifier.batches == [1, 1]


def test_what_the_network_raises_belongs_to_those_who_asked() -> None:
    classifier = Levels()
    model = served(classifier=classifier)

    async def test(batcher: Batcher) -> None:
        classifier.error = ArithmeticError("no")
        with pytest.raises(ArithmeticError):
            await batcher.answer(model, pixels(0))
        classifier.error = None
        await batcher.answer(model, pixels(1))

    run(test)
