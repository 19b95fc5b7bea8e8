"""Tokens that were set aside for one call to a model, until it is known what the call took."""

from collections.abc import Callable, Sequence
from typing import Final

from deployments.limits.account import Account
from deployments.limits.used import Used

__all__ = ["Reservation"]


class Reservation:
    """Note what the call uses with `used`; what else was set aside is given back by `settle`."""

    def __init__(
        self,
        accounts: Sequence[Account],
        expected: Used,
        count: Callable[[int, int], None],
    ) -> None:
        """`count` is told the tokens of the prompt and of the answer that were used.

        Raises Overloaded or QuotaExceeded, and takes nothing then.
        """
        self.prompt_tokens: Final = expected.prompt_tokens
        """As estimated."""
        self._accounts: Final = tuple(accounts)
        self._expected: Final = expected
        self._count: Final = count
        self._used = (0, 0)
        for account in self._accounts:
            account.check(expected)
        for account in self._accounts:
            account.set_aside(expected)

    def used(self, prompt_tokens: int, answer_tokens: int) -> None:
        """The call used so many, in all."""
        self._used = (prompt_tokens, answer_tokens)

    def settle(self) -> None:
        """The call has ended. For once."""
        if any(self._used):
            self._count(*self._used)
        for account in self._accounts:
            account.settle(self._expected, sum(self._used))
