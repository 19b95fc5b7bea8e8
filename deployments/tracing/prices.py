"""What a request cost, by its tokens."""

from collections.abc import Iterable
from typing import Final

from cluster.sections.tracing import PriceSettings

__all__ = ["Prices"]

_MILLION: Final = 1_000_000


class Prices:
    """The prices of `tracing.prices`."""

    def __init__(self, prices: Iterable[PriceSettings] = ()) -> None:
        self._by_model: Final = {price.model: price for price in prices}

    def cost(
        self, model: str | None, base: str | None, prompt: int | None, completion: int | None
    ) -> float | None:
        """In the currency of the settings; an adapter without a price of its own costs as its base.

        None where neither has a price, or no tokens were counted.
        """
        price = self._by_model.get(model or "") or self._by_model.get(base or "")
        if price is None or (prompt is None and completion is None):
            return None
        return (
            (prompt or 0) * price.prompt_per_million
            + (completion or 0) * price.completion_per_million
        ) / _MILLION
