"""What a caller has of an answer, and how the rest is asked for when its replica is lost.

A stream goes on where it stopped: the next replica gets the tokens that were sent as the beginning
of its answer. An answer of which nothing was sent is asked for again. What cannot be continued ends
with an error that says why.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from deployments.errors import DeadlineExceeded, Unavailable, Unprocessable
from deployments.model.messages import ModelCall, Part, Resumed, Sent

__all__ = ["MOST_RESUMES", "Delivery", "why_not_resumed"]

MOST_RESUMES: Final = 2
"""Replicas that a call is taken to after its first one."""
_DONE: Final = b"data: [DONE]\n\n"
_WHOLE_HISTORY: Final = {
    "presence_penalty": "presence_penalty counts tokens that only the lost replica generated",
    "frequency_penalty": "frequency_penalty counts tokens that only the lost replica generated",
    "bad_words": "bad_words may begin in the part that only the lost replica generated",
    "repetition_detection": "repetition_detection looks at what only the lost replica generated",
    "thinking_token_budget": "thinking_token_budget counts what only the lost replica generated",
    "use_beam_search": "the beams that the lost replica held are gone",
    "echo": "an answer with echo begins with the prompt",
}


def why_not_resumed(body: Mapping[str, Any]) -> str | None:
    """Return why a stream of `body` cannot go on in another replica once it has begun."""
    if (body.get("n") or 1) != 1:
        return "of several answers at once, none can be continued"
    prompt = body.get("prompt")
    if isinstance(prompt, list) and not all(isinstance(token, int) for token in prompt):
        return "of several prompts at once, none can be continued"
    if body.get("include_reasoning") is False:
        return "include_reasoning hides tokens that would be needed"
    return next((reason for name, reason in _WHOLE_HISTORY.items() if body.get(name)), None)


class Delivery:
    """One answer on its way from as many replicas as it takes, at most `1 + MOST_RESUMES`."""

    def __init__(
        self, call: ModelCall, model: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.call: ModelCall = call
        """What the next replica is to be asked."""
        self._model = model
        self._clock = clock
        self._allowed_s = call.deadline_s
        self._due = clock() + call.deadline_s
        self._tokens: list[int] = []
        self._created: int | None = None
        self._finished = False
        self._lost_at: list[int] = []
        self._resumed: Resumed | None = None
        self.complete = False
        """Whether the last event, or the whole body, has come."""

    @property
    def begun(self) -> bool:
        """Whether the caller has a part of the answer."""
        return self._created is not None

    @property
    def resumes(self) -> int:
        """How often another replica was asked."""
        return len(self._lost_at)

    def left_s(self) -> float:
        """Seconds until the call's deadline, not below 0."""
        return max(0.0, self._due - self._clock())

    def too_late(self) -> DeadlineExceeded:
        """The error of an answer that was not finished in time."""
        return DeadlineExceeded(
            f"The answer was not finished within {self._allowed_s:g} s.", code="deadline_exceeded"
        )

    def take(self, part: Part) -> Part:
        """Note a part that goes to the caller. The first one of another replica says so."""
        self._tokens += part.token_ids
        self._finished = self._finished or part.finished
        if self.call.body.get("stream"):
            self._created = part.created if self._created is None else self._created
            self.complete = part.data.endswith(_DONE)
        else:
            self.complete = True
        if self._resumed is not None:
            part, self._resumed = replace(part, resumed=self._resumed), None
        return part

    def lose(self, reason: str) -> None:
        """Make `call` what another replica is to be asked, the replica being lost.

        Raises Unprocessable where two were lost at the same place, Unavailable where the rest
        cannot be had from another one, and DeadlineExceeded.
        """
        position = len(self._tokens)
        if self._lost_at and self._lost_at[-1] == position:
            raise Unprocessable(
                f"{self._model} failed twice at this request, both times after {position} tokens "
                f"(the last time because {reason}). It may be this request that makes it fail, so "
                "it is not tried on a third replica.",
                code="failed_twice",
            )
        self._lost_at.append(position)
        if self.resumes > MOST_RESUMES:
            raise self._interrupted(f"it was lost {self.resumes} times", reason)
        if self.begun and (why_not := why_not_resumed(self.call.body)) is not None:
            raise self._interrupted(why_not, reason)
        if self.left_s() <= 0:
            raise self.too_late()
        sent = None
        if self._created is not None:
            sent = Sent(tuple(self._tokens), self._created, self._finished)
        self.call = replace(self.call, resume=sent, deadline_s=self.left_s())
        self._resumed = Resumed(position, reason)

    def _interrupted(self, why_not: str, reason: str) -> Unavailable:
        return Unavailable(
            f"The answer was interrupted after {len(self._tokens)} tokens because {reason}, and "
            f"cannot go on: {why_not}. Ask again.",
            code="answer_interrupted",
            retry_after_s=1,
        )
