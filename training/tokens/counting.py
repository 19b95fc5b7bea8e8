"""How many tokens an example has, counted wherever that is asked."""

from pathlib import Path
from typing import Any

from training.examples import Example
from training.tokens.tokenizer import ExampleTokenizer

__all__ = ["TokenCounter"]


class TokenCounter:
    """Counts under a model's chat template. Goes to workers, each of which loads the tokenizer."""

    def __init__(self, model: str, cache_dir: Path, chat_template: Path | None = None) -> None:
        self._model = model
        self._cache_dir = cache_dir
        self._chat_template = None if chat_template is None else chat_template.read_text()
        self._loaded: ExampleTokenizer | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}

    def __call__(self, example: Example) -> int:
        """Tokens of the example's longest document: of a pair, with its longer output.

        Raises ExampleError, and ModelSourceError where the model is not to be had.
        """
        return max(
            len(document) for sample in self._tokenizer.samples(example) for document in sample
        )

    @property
    def _tokenizer(self) -> ExampleTokenizer:
        if self._loaded is None:
            from cluster.models import ensure_model

            folder = ensure_model(self._model, self._cache_dir)
            self._loaded = ExampleTokenizer.load(folder, self._chat_template)
        return self._loaded
