"""Which process has grown, and by how much."""

import pytest

from tests.benchmarks.process_memory import Process, Sample, growths, shown_name
from tests.benchmarks.soak import kept_bars

STEADY, GROWING = Process("a", 1, 0.0), Process("b", 2, 0.0)
FIRST, SECOND = Process("c", 3, 0.0), Process("c", 3, 500.0)


def samples(*processes: Process, slope: float = 0.0) -> list[Sample]:
    """One every ten seconds for ten minutes."""
    return [
        Sample(at, {process: int(1000 + slope * at) for process in processes})
        for at in map(float, range(0, 600, 10))
    ]


def test_growth_is_from_minute_to_minute_by_medians() -> None:
    spike = samples(GROWING, slope=1.0)
    spike[20] = Sample(200.0, {GROWING: 900_000})
    (growth,) = growths(spike, before_s=200.0)
    assert growth.before_kib == pytest.approx(1235, abs=10)
    assert growth.after_kib == pytest.approx(1570, abs=10)
    assert not kept_bars([growth])


def test_a_steady_process_keeps_the_bar() -> None:
    (growth,) = growths(samples(STEADY), before_s=200.0)
    assert growth.percent == 0
    assert kept_bars([growth])


def test_a_process_that_was_replaced_is_two_and_keeps_no_bar() -> None:
    found = growths(samples(FIRST)[:40] + samples(SECOND)[40:], before_s=200.0)
    assert [(one.process, one.percent) for one in found] == [(FIRST, None), (SECOND, None)]
    assert not kept_bars(found)


def test_idle_workers_of_ray_come_and_go() -> None:
    idle = Process("ray::IDLE", 4, 0.0)
    assert kept_bars(growths(samples(STEADY, idle)[:40] + samples(STEADY)[40:], before_s=200.0))


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["ray::ServeReplica:everloop:Gateway.call()"], "ray::ServeReplica:everloop:Gateway"),
        (["/x/bin/python", "-m", "cluster.milvus_process", "1"], "cluster.milvus_process"),
        (["/x/bin/python", "-u", "/y/ray/dashboard/agent.py"], "python agent.py"),
        (["/y/raylet/raylet", "--port=1"], "raylet"),
        (["ray-dashboard-JobHead-0 (/x/bin/python -c 'a/b')"], "ray-dashboard-JobHead-0"),
    ],
)
def test_names_are_short(command: list[str], name: str) -> None:
    assert shown_name(command) == name
