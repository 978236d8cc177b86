"""Pieces of work one after the other here; tests/pipelines/test_on_ray.py has them as tasks."""

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from graft.core import cluster
from graft.core.cluster import ADDRESS, MIN_IMAGES, TASK_CPUS, TASK_GPUS, task_size, use_compute
from graft.core.params.compute_params import ComputeParams
from graft.core.run_each import run_each


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (ADDRESS, MIN_IMAGES, TASK_CPUS, TASK_GPUS):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_the_next_item_is_drawn_once_the_result_before_it_was_used() -> None:
    events: list[str] = []

    def items() -> Iterator[int]:
        for number in range(3):
            events.append(f"drawn {number}")
            yield number

    def double(number: int) -> int:
        events.append(f"computed {number}")
        return 2 * number

    for result in run_each(double, items(), together=9):
        events.append(f"used {result}")
    assert events == [
        *("drawn 0", "computed 0", "used 0"),
        *("drawn 1", "computed 1", "used 2"),
        *("drawn 2", "computed 2", "used 4"),
    ]


def test_few_images_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS, "nowhere:1")
    monkeypatch.setattr(cluster, "_connect", lambda address: pytest.fail("asked Ray"))
    assert list(run_each(abs, [-1, 2], images=ComputeParams().min_images - 1)) == [1, 2]


@pytest.mark.parametrize(
    ("compute", "gpus", "size"),
    [
        ({}, 0, (1, 0)),
        ({}, 4, (1, 1)),
        ({"task_cpus": 4, "task_gpus": 0.5}, 4, (4, 0.5)),
        ({"task_cpus": 0.5, "task_gpus": 2}, 4, (0.5, 2)),
        ({"task_gpus": 1}, 0, (1, 0)),  # a study's heads are solved on CPUs
        ({"task_gpus": 0}, 4, (1, 0)),
    ],
)
def test_params_say_how_large_a_task_is(compute: dict[str, float], gpus: int, size: tuple[float, float]) -> None:
    use_compute(ComputeParams.model_validate(compute))
    assert task_size(gpus) == size


@pytest.mark.parametrize("wrong", [{"task_cpus": 0}, {"task_cpus": 1.5}, {"task_gpus": -1}, {"task_gpus": 2.5}])
def test_a_size_that_ray_does_not_know_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        ComputeParams.model_validate(wrong)
