"""Examples to samples, with one model's tokenizer and chat template."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import ExampleError, PlanError
from training.examples import ChatExample, Example, Message, PreferenceExample, TextExample
from training.tokens.messages import template_messages
from training.tokens.spans import Rendered, Span, render_turns
from training.tokens.tokenized import Sample, Tokenized

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["ExampleTokenizer", "Piece", "TokenCounts"]

Piece = tuple[str, float]
"""A part of a text, and the weight of the loss on its tokens."""


@dataclass(slots=True)
class TokenCounts:
    """What became of the examples. `tokens` and `trained_tokens` are of the samples kept."""

    examples: int = 0
    samples: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    truncated: int = 0
    """Samples that were cut at the longest length."""
    without_loss: int = 0
    """Samples left out, because no token of theirs carries loss (after the cut, if any)."""
    longest: int = 0
    """Tokens of the longest sample before any cut."""


class ExampleTokenizer:
    """Turns examples into samples. Each text is tokenised whole, never in pieces."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast") -> None:
        if not tokenizer.is_fast:
            raise PlanError(
                f"{type(tokenizer).__name__} cannot tell where in the text a token lies.",
                fix="Use a model folder with a tokenizer.json.",
            )
        self._tokenizer = tokenizer
        self._special = frozenset(tokenizer.all_special_ids) | frozenset(
            number for number, token in tokenizer.added_tokens_decoder.items() if token.special
        )

    @classmethod
    def load(cls, folder: Path, chat_template: Path | str | None = None) -> "ExampleTokenizer":
        """The tokenizer of a model folder; `chat_template`, a file or text, in place of its own."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if isinstance(chat_template, Path):
            chat_template = chat_template.read_text()
        if chat_template is not None:
            tokenizer.chat_template = chat_template
        return cls(tokenizer)

    def all(
        self,
        examples: Iterable[Example],
        longest: int | None = None,
        lines: Sequence[int] | None = None,
    ) -> tuple[list[Sample], TokenCounts]:
        """Every sample that carries loss within its first `longest` tokens, and the counts.

        Raises ExampleError that says which example fails, by its line, else its number from 1.
        """
        samples: list[Sample] = []
        counts = TokenCounts()
        for number, example in enumerate(examples, start=1):
            counts.examples += 1
            try:
                found = self.samples(example)
            except ExampleError as error:
                place = f"Example {number}" if lines is None else f"Line {lines[number - 1]}"
                raise ExampleError(f"{place}: {error.message}", fix=error.fix) from error
            for sample in found:
                counts.longest = max(counts.longest, *map(len, sample))
                if longest is not None and any(len(document) > longest for document in sample):
                    counts.truncated += 1
                    sample = tuple(document.first(longest) for document in sample)
                if not all(document.trained_tokens for document in sample):
                    counts.without_loss += 1
                    continue
                samples.append(sample)
                counts.tokens += sum(map(len, sample))
                counts.trained_tokens += sum(document.trained_tokens for document in sample)
        counts.samples = len(samples)
        return samples, counts

    def samples(self, example: Example) -> tuple[Sample, ...]:
        """The samples of one example: mostly one, several where the template rewrites turns.

        A preference's sample is its chosen document and its rejected one.
        """
        special = isinstance(example, TextExample)
        return tuple(
            tuple(self._encoded(text, add_special_tokens=special)[0] for text in sample)
            for sample in self._rendered(example)
        )

    def pieces(self, example: Example) -> tuple[tuple[list[Piece], ...], ...]:
        """As `samples`, each document as its text, cut where the loss of its tokens changes."""
        special = isinstance(example, TextExample)
        return tuple(
            tuple(
                _pieces(text.text, *self._encoded(text, add_special_tokens=special))
                for text in sample
            )
            for sample in self._rendered(example)
        )

    def _rendered(self, example: Example) -> tuple[tuple[Rendered, ...], ...]:
        """The text of each document of each sample."""
        if isinstance(example, PreferenceExample):
            return (
                (self._answer(example, example.chosen), self._answer(example, example.rejected)),
            )
        if isinstance(example, TextExample):
            return ((self._completion(example),),)
        return tuple((text,) for text in self._texts(example))

    def _texts(self, example: ChatExample) -> tuple[Rendered, ...]:
        messages = template_messages(example.messages)
        return render_turns(self.render, messages, example.weights, example.tools)

    def _answer(self, example: PreferenceExample, answer: Sequence[Message]) -> Rendered:
        """The conversation that ends with `answer`; loss on the answer's assistant turns."""
        messages = (*example.messages, *answer)
        asked = len(example.messages)
        weights = tuple(
            float(i >= asked and message["role"] == "assistant")
            for i, message in enumerate(messages)
        )
        texts = self._texts(ChatExample(messages, weights, example.tools))
        if len(texts) != 1:
            raise ExampleError(
                "An answer of several turns cannot be compared under a chat template that rewrites "
                "earlier turns.",
                fix="Give one assistant message as the preferred and as the other output.",
            )
        return texts[0]

    def _completion(self, example: TextExample) -> Rendered:
        text = example.prompt + example.completion + (self._tokenizer.eos_token or "")
        span = Span(len(example.prompt), len(text), 1.0)
        return Rendered(text, (span,))

    def prompt_ids(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[int, ...]:
        """What the model is given to answer the conversation. Raises ExampleError as `render`."""
        text = self.render(template_messages(messages), tools, generation_prompt=True)
        return self._encoded(Rendered(text, ()), add_special_tokens=False)[0].input_ids

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of tokens, special ones included."""
        return str(self._tokenizer.decode(list(ids)))

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        *,
        generation_prompt: bool,
    ) -> str:
        """The conversation under the chat template. Raises ExampleError where it refuses."""
        from jinja2 import TemplateError

        try:
            return str(
                self._tokenizer.apply_chat_template(
                    list(messages),
                    tools=list(tools) or None,
                    tokenize=False,
                    add_generation_prompt=generation_prompt,
                )
            )
        except (TemplateError, TypeError, ValueError) as error:
            roles = ", ".join(str(message.get("role")) for message in messages) or "no message"
            raise ExampleError(
                f"The chat template refuses a conversation of {roles}: {error}",
                fix="Change the conversation, or give a `chat_template` that takes it.",
            ) from error

    def _encoded(
        self, rendered: Rendered, *, add_special_tokens: bool
    ) -> tuple[Tokenized, list[tuple[int, int]]]:
        """The document, and from where to where in the text each of its tokens reaches."""
        encoded = self._tokenizer(
            rendered.text, add_special_tokens=add_special_tokens, return_offsets_mapping=True
        )
        ids: list[int] = encoded["input_ids"]
        loss = [0.0] * len(ids)
        places: list[tuple[int, int]] = encoded["offset_mapping"]
        for span in rendered.spans:
            # A token that begins in the template's words is in part the template's: no loss on it.
            inside = [
                i
                for i, (start, end) in enumerate(places)
                if span.start <= start < span.end and start < end
            ]
            for i in self._without_tail(ids, inside):
                loss[i] = span.weight
        if loss:
            loss[0] = 0.0
        return Tokenized(tuple(ids), tuple(loss)), places

    def _without_tail(self, ids: list[int], inside: list[int]) -> list[int]:
        """`inside` through its end-of-turn token: the model stops there, and writes no newline."""
        for count in range(len(inside), 0, -1):
            if ids[inside[count - 1]] in self._special:
                tail = self._tokenizer.decode([ids[i] for i in inside[count:]])
                return inside[:count] if not tail.strip() else inside
        return inside


def _pieces(text: str, document: Tokenized, places: Sequence[tuple[int, int]]) -> list[Piece]:
    """All of the text. What no token covers goes with the token after it."""
    pieces: list[Piece] = []
    done = 0
    for weight, (_, end) in zip(document.loss, places, strict=True):
        if end <= done:  # a token without text, or one more of the same character
            continue
        if pieces and pieces[-1][1] == weight:
            pieces[-1] = (pieces[-1][0] + text[done:end], weight)
        else:
            pieces.append((text[done:end], weight))
        done = end
    if done < len(text):
        pieces.append((text[done:], 0.0))
    return pieces
