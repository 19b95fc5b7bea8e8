"""What models outside use for evals: of the project's budgets, as the gateway's models' tokens."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from cluster.errors import ApiError
from cluster.tenancy import acting_project
from deployments.errors import RequestError
from deployments.gateway.token_estimate import estimate_tokens
from deployments.limits.lease import holding, setting_aside
from deployments.limits.limiter import Limiter
from deployments.limits.reservation import Reservation

__all__ = ["OutsideMeter"]

_ANSWER_TOKENS: Final = 256
"""Of an answer without a limit, as estimated."""
_SYSTEM: Final = "system"


class OutsideMeter:
    """Counts calls for the project that acts, under the key `system`."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter: Final = limiter

    @asynccontextmanager
    async def call(self, body: Mapping[str, Any], model: str) -> AsyncIterator[Reservation]:
        """A call with `body` to `model`, by its name here; note with `used` what it takes.

        Raises ApiError where the project's budget is used up.
        """
        expected = estimate_tokens(body, None, _ANSWER_TOKENS)
        try:
            lease = await self._limiter.open(acting_project(), _SYSTEM)
            with holding(lease), setting_aside(*expected, model=model) as reserved:
                yield reserved
        except RequestError as error:
            raise ApiError(error.message, status=error.status) from error

    async def close(self) -> None:
        """Write what is left."""
        await self._limiter.ledger.close()
