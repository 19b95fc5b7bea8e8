"""A model that is asked for verdicts: in a grammar, at temperature 0, and once for the same words.

Verdicts are kept by a digest of all that decides them. An alias moves, so the digest takes the
model's own name, which its first answer tells.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import Field

from cluster.errors import ApiError
from cluster.sections.section import Section
from deployments.evaluation.judges.choices import Choices
from deployments.evaluation.judges.distribution import probabilities, spread_of, weighted_mean
from deployments.evaluation.judges.shape import Shape, demand, find, most_tokens, spelling
from deployments.evaluation.judges.verdict import Verdict
from deployments.evaluation.toolbox import ChatCaller, VerdictCache

__all__ = ["Judge", "JudgeSettings", "Question", "Sampling"]

_TOP: Final = 20
"""Alternatives of a token that OpenAI and vLLM tell at most."""
_OPTIONAL: Final = {
    "logprobs": "logprobs",
    "top_logprobs": "logprobs",
    "temperature": "temperature",
    "seed": "seed",
}
"""Fields that some models refuse by name, and what falls with each."""
_RECORD: Final = 1
"""Form of what is kept of a verdict; another form is another key."""
_UNANSWERABLE: Final = frozenset({400, 413, 422})
"""Statuses by which a model refuses this question, and not every question."""


class JudgeSettings(Section):
    """How a judge is asked."""

    shape: Shape = "choice"
    """`choice` for models of vLLM, Everloop's own; `json_schema` for models outside."""
    log_probabilities: bool = True
    """Ask for them. A model that refuses them, `temperature` or `seed` is asked without."""
    attempts: int = Field(default=3, ge=1, le=10)
    """Answers that are asked for until one is a verdict."""
    concurrency: int = Field(default=8, ge=1, le=256)
    """Questions in flight."""


class Sampling(Section):
    """OpenAI's `sampling_params` of a model grader."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    """0 where absent."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = None
    """0 where absent."""
    reasoning_effort: str | None = None
    max_completions_tokens: int | None = Field(default=None, ge=1)
    """For a model that thinks before its verdict; the verdict itself always has room."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a judge is asked."""

    name: str
    """Which of a judgement's questions."""
    prompt: str
    """Version of the prompt."""
    messages: Sequence[Mapping[str, str]]
    choices: Choices
    sampling: Sampling = field(default_factory=Sampling)


class Judge:
    """Asks one model. Use it from one event loop."""

    def __init__(
        self,
        model: str,
        caller: ChatCaller,
        cache: VerdictCache,
        settings: JudgeSettings | None = None,
        *,
        model_id: str | None = None,
    ) -> None:
        """`model_id` is what `model` stands for, where that is known and does not move."""
        self.model: Final = model
        self._caller = caller
        self._cache = cache
        self._settings = settings or JudgeSettings()
        self._model_id = model_id
        self._refused: set[str] = set()
        self._room = asyncio.Semaphore(self._settings.concurrency)
        self._learning = asyncio.Lock()

    async def ask_all(self, questions: Sequence[Question]) -> list[Verdict]:
        """Ask all, in their order. The first error ends the others; see `ask`."""
        tasks = [asyncio.create_task(self.ask(question)) for question in questions]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def ask(self, question: Question) -> Verdict:
        """Ask once, or recall. A model that refuses this question gives a verdict without a label.

        Raises ApiError and UnreachableError where no question could be answered.
        """
        async with self._room:
            if self._model_id is None:
                async with self._learning:
                    if self._model_id is None:
                        return await self._told(question)
            return await self._recalled(question) or await self._told(question)

    async def _recalled(self, question: Question) -> Verdict | None:
        model = self._model_id or self.model
        kept = await self._cache.get(self._key(question, model))
        if kept is None or kept.get("label") not in question.choices.labels:
            return None
        chances = kept["probabilities"]
        verdict = _verdict(question, model, str(kept["label"]), chances)
        more = {"failures": kept["failures"], "without": tuple(kept["without"])}
        return verdict.model_copy(update={**more, "cached": True})

    async def _told(self, question: Question) -> Verdict:
        """Ask the model until it says a verdict, `attempts` times at most."""
        failures = 0
        for attempt in range(self._settings.attempts):
            try:
                answer = await self._call(self._body(question, attempt))
            except ApiError as error:
                if error.status not in _UNANSWERABLE:
                    raise
                return self._unanswered(question, failures, failures, error.message)
            model = self._model_id = str(answer.get("model") or self.model)
            label, chances = self._read(question, answer)
            if label is not None:
                without = sorted(self._refused)
                kept = {"label": label, "probabilities": chances, "failures": failures}
                await self._cache.put(self._key(question, model), {**kept, "without": without})
                verdict = _verdict(question, model, label, chances)
                more = {"calls": failures + 1, "failures": failures, "without": tuple(without)}
                return verdict.model_copy(update=more)
            failures += 1
        reason = f"None of {failures} answers was a verdict."
        return self._unanswered(question, failures, failures, reason)

    def _unanswered(self, question: Question, calls: int, failures: int, reason: str) -> Verdict:
        return Verdict(
            question=question.name,
            prompt=question.prompt,
            model=self._model_id or self.model,
            calls=calls,
            failures=failures,
            reason=reason,
        )

    async def _call(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask, without the fields that the model was found to refuse."""
        while True:
            sent = {
                name: value
                for name, value in body.items()
                if _OPTIONAL.get(name) not in self._refused
            }
            try:
                return await self._caller.chat(sent)
            except ApiError as error:
                named = {
                    family
                    for name, family in _OPTIONAL.items()
                    if name in sent and re.search(rf"\b{name}\b", error.message)
                }
                if error.status not in _UNANSWERABLE or not named:
                    raise
                self._refused |= named

    def _body(self, question: Question, attempt: int) -> dict[str, Any]:
        sampling = question.sampling
        labels = question.choices.labels
        body = {
            "model": self.model,
            "messages": [dict(message) for message in question.messages],
            "temperature": sampling.temperature or 0.0,
            "seed": (sampling.seed or 0) + attempt,
            "max_completion_tokens": most_tokens(self._settings.shape, labels)
            + (sampling.max_completions_tokens or 0),
            **demand(self._settings.shape, labels),
        }
        if self._settings.log_probabilities:
            body |= {"logprobs": True, "top_logprobs": _TOP}
        for name in ("top_p", "reasoning_effort"):
            if (value := getattr(sampling, name)) is not None:
                body[name] = value
        return body

    def _key(self, question: Question, model: str) -> str:
        """Digest of everything that decides a verdict."""
        decisive = {
            **self._body(question, 0),
            "model": model,
            "prompt": question.prompt,
            "record": _RECORD,
        }
        text = json.dumps(decisive, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def _read(
        self, question: Question, answer: Mapping[str, Any]
    ) -> tuple[str | None, dict[str, float] | None]:
        """The label that was said, and how sure the model was of each."""
        shape, labels = self._settings.shape, question.choices.labels
        choice = (answer.get("choices") or [{}])[0]
        content = (choice.get("message") or {}).get("content")
        if not isinstance(content, str) or (found := find(shape, content, labels)) is None:
            return None, None
        tokens = (choice.get("logprobs") or {}).get("content") or ()
        spellings = {label: spelling(shape, label) for label in labels}
        return found.label, probabilities(content, found, tokens, spellings)


def _verdict(
    question: Question, model: str, label: str, chances: Mapping[str, float] | None
) -> Verdict:
    choices = question.choices
    values = dict(zip(choices.labels, choices.values, strict=True)) if choices.ordinal else None
    value = spread = None
    if values is not None:
        value = values[label] if chances is None else weighted_mean(chances, values)
        spread = None if chances is None else spread_of(chances, values)
    return Verdict(
        question=question.name,
        prompt=question.prompt,
        model=model,
        label=label,
        value=value,
        spread=spread,
        probabilities=chances,
    )
