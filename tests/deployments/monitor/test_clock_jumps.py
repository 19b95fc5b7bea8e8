"""Serve's controller begins anew where the clock was set back, and only there."""

from dataclasses import dataclass, field

import pytest

from deployments.monitor.clock_jumps import ClockDuty


@dataclass
class Controller:
    """Counts how often it was replaced; the first `failures` times that fails."""

    name: str = "controller"
    failures: int = 0
    replaced: int = 0
    clocks: list[float] = field(default_factory=lambda: [1000.0, 0.0])

    async def ask(self) -> None:
        raise AssertionError("nobody asks it")

    async def replace(self) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError
        self.replaced += 1

    def duty(self) -> ClockDuty:
        return ClockDuty(self, wall_clock=lambda: self.clocks[0], clock=lambda: self.clocks[1])


@pytest.mark.parametrize(
    ("passed_s", "told_s", "replaced"),
    [(2, 2, 0), (2, 3600, 0), (2, -1, 0), (2, -30, 1), (2, -86_400, 1), (60, -10, 1)],
)
async def test_only_a_clock_that_goes_back_matters(
    passed_s: float, told_s: float, replaced: int
) -> None:
    controller = Controller()
    duty = controller.duty()
    await duty.turn()
    controller.clocks = [1000.0 + told_s, passed_s]
    await duty.turn()
    await duty.turn()
    assert controller.replaced == replaced, "and once"


async def test_what_fails_is_tried_again() -> None:
    controller = Controller(failures=1)
    duty = controller.duty()
    controller.clocks = [0.0, 2.0]
    with pytest.raises(ConnectionError):
        await duty.turn()
    await duty.turn()
    assert controller.replaced == 1
