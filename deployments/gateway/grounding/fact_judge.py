"""The last tier of the fact check: a model is asked about sentences whose words leave doubt."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Final

from cluster.errors import EverloopError
from deployments.evaluation.judges.choices import Choices
from deployments.evaluation.judges.judge import Judge, JudgeSettings, Question
from deployments.evaluation.judges.prompts import JUDGE_PROMPTS
from deployments.evaluation.judges.served import ServedCaller
from deployments.gateway.grounding.attribution import SentenceSupport
from deployments.ports import ChatModel

__all__ = ["FactJudge"]

_log = logging.getLogger(__name__)
_LABELS: Final = ("supported", "contradicted", "unverifiable")
_PROMPT: Final = "claim_verdict"


class FactJudge:
    """Asks one model about the doubtful sentences of one answer, within bounds."""

    def __init__(
        self,
        model: ChatModel,
        model_id: str,
        passages: Sequence[str],
        request_id: str,
        *,
        timeout_s: float,
        most: int,
    ) -> None:
        """`passages` are the texts that supports count in; `most` sentences are asked about."""
        numbers = count(1)
        caller = ServedCaller(model, timeout_s, lambda: f"{request_id}-fact-{next(numbers)}")
        self._judge: Final = Judge(
            model_id,
            caller,
            _Nothing(),
            JudgeSettings(attempts=1, log_probabilities=False),
            model_id=model_id,  # the first question need not be answered before the others
        )
        self._passages: Final = tuple(passages)
        self._timeout_s: Final = timeout_s
        self._left = most

    async def decide(self, sentence: str, found: SentenceSupport) -> SentenceSupport:
        """What the model says of `sentence`. Never raises.

        `found` stays as it is where it was not doubtful, or the model did not answer in time.
        """
        if found.verdict != "unverifiable" or not found.doubtful or not self._left:
            return found
        self._left -= 1
        places = found.doubtful
        evidence = "\n".join(
            self._passages[place.passage][place.start : place.end] for place in places
        )
        prompt = JUDGE_PROMPTS.get(_PROMPT)
        messages = prompt.render(claim=sentence, evidence=evidence, labels=_LABELS)
        question = Question(_PROMPT, prompt.version, messages, Choices(_LABELS))
        try:
            async with asyncio.timeout(self._timeout_s):
                verdict = await self._judge.ask(question)
        except (TimeoutError, EverloopError) as error:
            _log.warning("A sentence stays unverifiable, for its judge failed: %s", error or "late")
            return found
        said = f"{verdict.model} says so"
        if verdict.label == "supported":
            return replace(found, supports=places[:1], doubtful=(), reason="")
        if verdict.label == "contradicted":
            return replace(found, contradicted_by=places[0], doubtful=(), reason=said)
        return replace(found, doubtful=())


class _Nothing:
    """A VerdictCache that keeps nothing: an answer's sentences seldom come again."""

    async def get(self, key: str) -> Mapping[str, Any] | None:
        del key
        return None

    async def put(self, key: str, value: Mapping[str, Any]) -> None:
        del key, value
