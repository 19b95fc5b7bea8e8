"""What a guard's judge uses counts for the request that it is asked for."""

from collections.abc import Mapping
from typing import Any

import pytest

from cluster.sections.limits import Bounds
from deployments.errors import Overloaded
from deployments.guards.judging import MeteredCaller
from deployments.limits.account import Account
from deployments.limits.lease import Lease, holding
from tests.fakes.meter import RememberingMeter

BODY = {"model": "far-9b", "messages": [{"role": "user", "content": "x" * 40}], "max_tokens": 8}


class Outside:
    """Answers with `usage`, or fails."""

    def __init__(self, usage: dict[str, int] | None) -> None:
        self.usage = usage
        self.asked = 0

    async def chat(self, _body: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked += 1
        if self.usage is None:
            raise TimeoutError
        return {"choices": [], "usage": self.usage}


async def test_an_outside_judge_counts_by_its_name_here() -> None:
    meter = RememberingMeter(price=1.0)
    told = MeteredCaller(Outside({"prompt_tokens": 30, "completion_tokens": 2}), "far")
    late = MeteredCaller(Outside(None), "far")
    with holding(Lease("one", "key", (), meter=meter)):
        await told.chat(BODY)
        with pytest.raises(TimeoutError):
            await late.chat(BODY)
    assert meter.found == [("key", "far", 30, 2, 64.0), ("key", "far", 18, 0, 36.0)]


async def test_a_judge_is_not_asked_beyond_the_requests_bounds() -> None:
    outside = Outside({"prompt_tokens": 30, "completion_tokens": 2})
    account = Account("key", Bounds(tokens_per_minute=10), 1, lambda: 0.0)
    with holding(Lease("one", "key", [account])), pytest.raises(Overloaded):
        await MeteredCaller(outside, "far").chat(BODY)
    assert outside.asked == 0
