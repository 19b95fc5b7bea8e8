"""Personal data in traces, masked by the recognizers that also clean training data.

Places that a trace names by character (sentences of the answer, what supports them in passages)
move with the text.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

__all__ = ["MaskedText", "TraceMask"]

_REMEMBERED: Final = 2048
"""Texts whose mask is remembered: the same passages are found again and again."""
_TREES: Final = (
    "query",
    "input",
    "messages",
    "error",
    "metadata",
    "support",
    "prompt_values",
    "step_outputs",
)
"""Fields of a trace's body in which every text is masked."""


class MaskedText(NamedTuple):
    """A text without its personal data, and how places in it moved."""

    text: str
    starts: tuple[int, ...] = ()
    """Where what was masked began in the original, in order."""
    ends: tuple[int, ...] = ()
    moved: tuple[int, ...] = ()
    """How far what follows each of them moved."""

    def place(self, at: int) -> int:
        """Where the original's character `at` is now; in a masked part: at its start or end."""
        index = bisect_right(self.starts, at) - 1
        if index < 0:
            return at
        before = self.moved[index - 1] if index else 0
        if at < self.ends[index]:  # inside: the start of the mask
            return self.starts[index] + before
        return at + self.moved[index]


class TraceMask:
    """Masks a trace's texts as `<EMAIL_ADDRESS>` and the like.

    Slow to make and to run: not for the event loop.
    """

    def __init__(self) -> None:
        from training.data.curation.personal_data import PersonalData
        from training.data.settings import PersonalDataSettings

        self._finder: Final = PersonalData(PersonalDataSettings())
        self.text: Final[Callable[[str], MaskedText]] = lru_cache(_REMEMBERED)(self._text)
        """`text` without its personal data."""

    def row(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of a trace without personal data in question, answer, passages and inputs."""
        body = dict(values["body"])
        for name in _TREES:
            if name in body:
                body[name] = self._tree(body[name])
        answer = self.text(values["answer"] or "")
        passages = [self.text(str(p.get("text") or "")) for p in body.get("passages") or ()]
        if "passages" in body:
            body["passages"] = [
                {**passage, "text": masked.text} if "text" in passage else passage
                for passage, masked in zip(body["passages"], passages, strict=True)
            ]
        if "sentences" in body:
            body["sentences"] = [_moved(s, answer, passages) for s in body["sentences"]]
        question = values["question"]
        return {
            **values,
            "question": None if question is None else self.text(question).text,
            "answer": None if values["answer"] is None else answer.text,
            "body": body,
        }

    def _tree(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value).text
        if isinstance(value, Mapping):
            return {key: self._tree(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._tree(item) for item in value]
        return value

    def _text(self, text: str) -> MaskedText:
        spans = self._finder.spans(text)
        parts: list[str] = []
        moved: list[int] = []
        end = shift = 0
        for span in spans:
            mark = f"<{span.entity}>"
            parts += [text[end : span.start], mark]
            end = span.end
            shift += len(mark) - (span.end - span.start)
            moved.append(shift)
        return MaskedText(
            "".join((*parts, text[end:])),
            tuple(span.start for span in spans),
            tuple(span.end for span in spans),
            tuple(moved),
        )


def _moved(
    sentence: Mapping[str, Any], answer: MaskedText, passages: Sequence[MaskedText]
) -> dict[str, Any]:
    supports = [
        {
            **support,
            "start": passages[support["passage"]].place(support["start"]),
            "end": passages[support["passage"]].place(support["end"]),
        }
        if support["passage"] < len(passages)
        else support
        for support in sentence["supports"]
    ]
    start, end = answer.place(sentence["start"]), answer.place(sentence["end"])
    return {**sentence, "start": start, "end": end, "supports": supports}
