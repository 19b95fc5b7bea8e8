"""Questions written by a model over the chat API, in a form that the engine's grammar keeps."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deployments.evaluation.synthesis.drafts import Draft, SourceText
from deployments.prompts.library import PromptLibrary

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["QuestionWriter"]

_AT_ONCE: Final = 4
_TOKENS: Final = 160
_PASSAGE_CHARACTERS: Final = 2_000
_FORM: Final = {
    "type": "object",
    "properties": {
        "question": {"type": "string", "minLength": 10, "maxLength": 200},
        "answer": {"type": "string", "minLength": 1, "maxLength": 160},
    },
    "required": ["question", "answer"],
    "additionalProperties": False,
}


class QuestionWriter:
    """Asks one model for one question per passage; the same passage gives the same question."""

    def __init__(self, client: "OpenAI", model: str, seed: int) -> None:
        self._client = client
        self._seed = seed
        self._prompt = PromptLibrary((Path(__file__).parent,)).get("synthetic_question")
        self.model: Final = model

    def write(self, sources: Sequence[SourceText]) -> list[Draft | None]:
        """A draft per passage, four asked at once; None where the answer was cut off.

        Raises openai's errors; see `translated_errors`.
        """
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="question") as pool:
            return list(pool.map(self._write, sources))

    def _write(self, source: SourceText) -> Draft | None:
        named = {"name": "question", "schema": _FORM, "strict": True}
        request: dict[str, Any] = {
            "model": self.model,
            "messages": self._prompt.render(passage=source.text[:_PASSAGE_CHARACTERS]),
            "temperature": 0,
            "seed": self._seed,
            "max_tokens": _TOKENS,
            "response_format": {"type": "json_schema", "json_schema": named},
            "extra_headers": {"x-everloop-priority": "background"},
        }
        completion = self._client.chat.completions.create(**request)
        try:
            written = json.loads(completion.choices[0].message.content or "")
            question, answer = str(written["question"]), str(written["answer"])
        except (ValueError, KeyError, TypeError):  # cut off within the form, or an engine without
            return None
        return Draft(
            source, "model", question.strip(), answer.strip(), self.model, self._prompt.version
        )
