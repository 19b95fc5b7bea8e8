"""Examples to token ids with loss on the assistant's words only, under any chat template."""

from training.tokens.counting import TokenCounter
from training.tokens.tokenized import Sample, Tokenized
from training.tokens.tokenizer import ExampleTokenizer, TokenCounts

__all__ = ["ExampleTokenizer", "Sample", "TokenCounter", "TokenCounts", "Tokenized"]
