"""Tokens that were set aside for one call to a model, until it is known what the call took."""

from collections.abc import Callable, Sequence
from typing import Final

from deployments.limits.account import Account

__all__ = ["Reservation"]


class Reservation:
    """Note what the call uses with `used`; what else was set aside is given back by `settle`."""

    def __init__(
        self,
        accounts: Sequence[Account],
        prompt_tokens: int,
        answer_tokens: int,
        count: Callable[[int, int], None],
    ) -> None:
        """`count` is told the tokens of the prompt and of the answer that were used."""
        self.prompt_tokens: Final = prompt_tokens
        """As estimated."""
        self._accounts: Final = tuple(accounts)
        self._amount: Final = prompt_tokens + answer_tokens
        self._count: Final = count
        self._used = (0, 0)
        for account in self._accounts:
            account.check_tokens(self._amount)
        for account in self._accounts:
            account.use_tokens(self._amount)

    def used(self, prompt_tokens: int, answer_tokens: int) -> None:
        """The call used so many, in all."""
        self._used = (prompt_tokens, answer_tokens)

    def settle(self) -> None:
        """The call has ended. For once."""
        for account in self._accounts:
            account.use_tokens(sum(self._used) - self._amount)
        if any(self._used):
            self._count(*self._used)
