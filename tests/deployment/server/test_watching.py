"""The registry's champion is taken up when it changes; whatever goes wrong, the old one answers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from stand_ins import Registry

from graft.core.errors import GraftError
from graft.core.project import Project
from graft.deployment.server.responses import description
from graft.deployment.server.server_metrics import Metrics
from graft.deployment.server.watch_champion import Champion, ModelSource


def run(registry: Registry, test: Callable[[Champion], Awaitable[None]]) -> Metrics:
    """Runs a test once the first model is there; it looks at the registry when it likes."""
    metrics = Metrics()

    async def main() -> None:
        champion = Champion(registry, 1000, metrics)  # type: ignore[arg-type]
        failed = asyncio.Event()
        champion.start(failed.set)
        try:
            async with asyncio.timeout(60):
                while champion.model is None and not failed.is_set():
                    await asyncio.sleep(0.001)
                await test(champion)
        finally:
            await champion.stop()

    asyncio.run(main())
    return metrics


def test_a_new_champion_is_taken_up_once() -> None:
    registry = Registry("1")

    async def test(champion: Champion) -> None:
        old = champion.model
        await champion.look()
        assert champion.model is old
        registry.champion = "2"
        await champion.look()
        await champion.look()
        assert champion.model is not None
        assert champion.model.source.version == "2"

    metrics = run(registry, test)
    assert registry.loads == ["1", "2"]
    assert b'graft_model_info{name="levels",version="2"} 1.0' in metrics.text()
    assert b'version="1"' not in metrics.text()


def test_tags_that_come_after_the_alias_are_seen() -> None:
    registry = Registry("1")

    async def test(champion: Champion) -> None:
        registry.champion = "2"
        await champion.look()
        assert champion.model is not None
        assert description(champion.model, champion.tags, "nothing").promoted is None
        registry.tags = {"promoted.at": "last week"}
        await champion.look()
        assert description(champion.model, champion.tags, "nothing").promoted is None
        registry.tags = {"promoted.at": "2026-03-01T10:00:00+00:00"}
        await champion.look()
        assert description(champion.model, champion.tags, "nothing").promoted == datetime(2026, 3, 1, 10, tzinfo=UTC)

    run(registry, test)
    assert registry.loads == ["1", "2"]


def test_a_first_model_that_cannot_be_loaded_is_a_failure() -> None:
    registry = Registry()
    registry.reachable = False

    async def test(champion: Champion) -> None:
        assert champion.model is None
        assert isinstance(champion.failure, GraftError)

    run(registry, test)


def test_one_that_cannot_be_loaded_leaves_the_old_one(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry("1")
    registry.broken = {"2"}

    async def test(champion: Champion) -> None:
        registry.champion = "2"
        for _ in range(3):
            await champion.look()
        assert champion.model is not None
        assert champion.model.source.version == "1"
        assert champion.problem == "Version 2 cannot be loaded: the file is gone."
        registry.champion = "3"
        await champion.look()
        assert (champion.model.source.version, champion.problem) == ("3", "")

    with caplog.at_level(logging.INFO, "graft.deployment.server"):
        metrics = run(registry, test)
    # Not again at each look, and said once.
    assert registry.loads == ["1", "2", "3"]
    assert caplog.text.count("cannot be loaded") == 1
    assert b'graft_model_loads_total{outcome="failed"} 1.0' in metrics.text()
    assert b"graft_champion_problem 0.0" in metrics.text()


def test_one_that_can_be_loaded_later_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry("1")
    registry.broken = {"2"}

    async def test(champion: Champion) -> None:
        registry.champion = "2"
        tried = []
        for now in (0, 500, 1000, 1100, 1299, 1301):
            monkeypatch.setattr("graft.deployment.server.watch_champion.monotonic", lambda now=now: now)
            await champion.look()
            tried.append(registry.loads.count("2"))
        # After 1,000 s, the time between two looks; then after twice that, but no later than after 300 s.
        assert tried == [1, 1, 2, 2, 2, 3]
        registry.broken.clear()
        monkeypatch.setattr("graft.deployment.server.watch_champion.monotonic", lambda: 10_000)
        await champion.look()
        assert champion.model is not None
        assert (champion.model.source.version, champion.problem) == ("2", "")

    run(registry, test)


def test_a_registry_that_cannot_be_asked_changes_nothing() -> None:
    registry = Registry("1")

    async def test(champion: Champion) -> None:
        registry.reachable = False
        await champion.look()
        assert champion.problem == "The registry cannot be asked."
        assert champion.model is not None
        registry.reachable = True
        await champion.look()
        assert champion.problem == ""

    metrics = run(registry, test)
    assert b"graft_champion_problem 0.0" in metrics.text()


def test_the_champion_of_the_data_set_is_meant_where_nothing_is_said(registered: Project) -> None:
    source = ModelSource(registered, None, 4)
    assert (source.text, source.alias) == ("models:/tints@champion", "champion")
    meant = source.ask()
    model = source.load(meant.version)
    assert (model.source.version, model.source.alias) == (meant.version, "champion")
    assert meant.tags["strategy"] in ("mild", "sharp")


def test_one_model_may_be_served_for_good(registered: Project) -> None:
    source = ModelSource(registered, "models:/tints/2", 4)
    assert (source.alias, source.ask().version) == ("", "")
    model = source.load("")
    assert (model.source.name, model.source.version, model.source.alias) == ("tints", "2", "")


def test_a_missing_alias_says_what_to_do(registered: Project) -> None:
    for text, name in (("models:/tints@nobody", "tints"), ("models:/nothing@champion", "nothing")):
        source = ModelSource(registered, text, 4)
        with pytest.raises(GraftError, match=rf"no \w+ of '{name}'.*graft promote.*--model models:/{name}@challenger"):
            source.ask()


def test_a_store_that_is_gone_is_named(registered: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ModelSource(registered, None, 4)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////dev/null/mlflow.db")
    with pytest.raises(GraftError, match="sqlite:////dev/null/mlflow.db cannot be opened"):
        source.ask()


def test_a_champion_that_is_woken_looks_before_its_next_poll() -> None:
    registry = Registry("1")

    async def test(champion: Champion) -> None:
        registry.champion = "2"
        champion.wake()
        while champion.model is None or champion.model.source.version == "1":
            await asyncio.sleep(0.001)

    run(registry, test)
    assert registry.loads == ["1", "2"]
