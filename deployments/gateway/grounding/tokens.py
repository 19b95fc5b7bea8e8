"""Counting tokens as the chat model will, without loading the model."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cluster.errors import ModelSourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tokenizers import Tokenizer

__all__ = ["TokenCounter"]

_MESSAGE_OVERHEAD: Final = 8
"""Upper bound of what chat templates add per message (ChatML adds 5)."""
_PROMPT_OVERHEAD: Final = 16
"""Upper bound of what they add once: beginning of text, the answer's opening."""


class TokenCounter:
    """Counts with the `tokenizer.json` of a model folder, read at the first count."""

    def __init__(self, model_folder: Path) -> None:
        self._path: Final = (
            model_folder / "tokenizer.json" if model_folder.is_dir() else model_folder
        )

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        if not self._path.is_file():
            raise ModelSourceError(
                f"There is no tokenizer at {self._path}.",
                fix="A chat model's folder needs its tokenizer.json, to count tokens.",
            )
        tokenizer = Tokenizer.from_file(str(self._path))
        tokenizer.no_truncation()  # some files carry the limits of their training
        tokenizer.no_padding()
        return tokenizer

    def count(self, text: str) -> int:
        """Tokens of `text`, without special ones."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def count_messages(self, messages: "Iterable[Mapping[str, str]]") -> int:
        """Upper bound of the prompt tokens of a chat, the template's own included."""
        return _PROMPT_OVERHEAD + sum(self.count_message(m["content"]) for m in messages)

    def count_message(self, content: str) -> int:
        """Upper bound of what one message adds to a chat."""
        return self.count(content) + _MESSAGE_OVERHEAD

    def cut(self, text: str, tokens: int) -> int:
        """Where `text` must end to have at most `tokens` tokens, as an offset into it."""
        if tokens <= 0:
            return 0
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return len(text) if len(offsets) <= tokens else int(offsets[tokens - 1][1])
