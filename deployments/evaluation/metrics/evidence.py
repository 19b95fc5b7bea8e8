"""What a metric of grounding reads beside the answer: the question and the passages."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from deployments.evaluation.cases import Passage, Score
from deployments.evaluation.metrics.metric import MetricInput
from deployments.gateway.grounding.windows import SourcePassage

__all__ = ["NO_QUESTION", "inapplicable", "passages_of", "question_of", "sources", "texts_of"]

_QUESTIONS: Final = ("question", "query", "input", "prompt", "messages")
_PASSAGES: Final = ("passages", "contexts", "context")
_MOST_PASSAGES: Final = 100
_MOST_CHARACTERS: Final = 20_000
"""Of one passage. A store's passages have about 1,000; a whole book must not cost minutes."""

NO_QUESTION: Final = f"the item has no question; looked for {', '.join(_QUESTIONS)}"


def question_of(given: MetricInput, options: Mapping[str, Any]) -> str | None:
    """Return the question that was answered, None where the item has none.

    The option `question` names the item's field; without it the usual names are looked for. Of a
    list of messages the last that a user wrote counts.
    """
    named = options.get("question")
    for name in (named,) if named else _QUESTIONS:
        text = _question(given.case.item.get(name))
        if text:
            return text
    return None


def passages_of(given: MetricInput, options: Mapping[str, Any]) -> tuple[Passage, ...]:
    """Return the passages that the answer could draw on, at most 100.

    They are the sample's, otherwise those of the item's field that the option `passages` names, or
    of a field of a usual name: a text, or a list of texts or of objects with `text`, `document`
    and `cited`.
    """
    named = options.get("passages")
    if not named and given.case.sample is not None and given.case.sample.passages:
        return tuple(map(_cut, given.case.sample.passages[:_MOST_PASSAGES]))
    for name in (named,) if named else _PASSAGES:
        value = given.case.item.get(name)
        if value:
            listed = [value] if isinstance(value, str | Mapping) else list(value)
            return tuple(_cut(_passage(one)) for one in listed[:_MOST_PASSAGES])
    return ()


def texts_of(given: MetricInput, fields: Sequence[str]) -> tuple[str, ...]:
    """Return the texts of the reference, otherwise of the item's first field that is there."""
    value = given.reference
    if value is None:
        value = next((given.case.item[name] for name in fields if given.case.item.get(name)), None)
    if value is None:
        return ()
    listed = list(value) if isinstance(value, list | tuple) else [value]
    return tuple(text for one in listed if (text := str(one).strip()))


def sources(passages: Sequence[Passage]) -> list[SourcePassage]:
    """Return `passages` as attribution reads them."""
    return [
        SourcePassage(index, passage.text, passage.document.replace("_", " "))
        for index, passage in enumerate(passages)
    ]


def inapplicable(reason: str, **more: Any) -> Score:
    """Return the score of a case that the metric does not apply to."""
    return Score(None, detail={"reason": reason, **more})


def _cut(passage: Passage) -> Passage:
    if len(passage.text) <= _MOST_CHARACTERS:
        return passage
    return Passage(passage.text[:_MOST_CHARACTERS], passage.document, passage.cited)


def _passage(value: Any) -> Passage:
    if not isinstance(value, Mapping):
        return Passage(str(value))
    document = value.get("document") or value.get("filename") or ""
    return Passage(str(value.get("text") or ""), str(document), bool(value.get("cited")))


def _question(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if not isinstance(value, list | tuple):
        return ""
    for message in reversed(value):
        if isinstance(message, Mapping) and message.get("role") == "user":
            return _content(message.get("content"))
    return ""


def _content(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    parts = value if isinstance(value, list | tuple) else ()
    texts = [str(part["text"]) for part in parts if isinstance(part, Mapping) and part.get("text")]
    return "\n".join(texts).strip()
