"""What the training loop eats: token ids, and how much loss each of them carries."""

from dataclasses import dataclass

__all__ = ["Sample", "Tokenized"]


@dataclass(frozen=True, slots=True)
class Tokenized:
    """One document: `loss[i]` is the weight of predicting `input_ids[i]`; both equally long.

    The first token has nothing before it that could predict it, so its weight is 0.
    """

    input_ids: tuple[int, ...]
    loss: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def trained_tokens(self) -> int:
        """How many tokens carry loss."""
        return sum(1 for weight in self.loss if weight)

    def first(self, count: int) -> "Tokenized":
        """The document cut to its first `count` tokens."""
        return Tokenized(self.input_ids[:count], self.loss[:count])


Sample = tuple[Tokenized, ...]
"""What is drawn, counted and split as one: a document, or a preferred one and its rival."""
