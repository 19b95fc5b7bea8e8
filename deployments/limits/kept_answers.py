"""Answers that were given, to be given again while models are pressed."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, Final

__all__ = ["KeptAnswers"]


class KeptAnswers:
    """At most `most` answers, each for `kept_s` seconds.

    They stand under their project and a digest of what was asked; see
    `deployments.gateway.grounding.earlier`. The least recently used goes first.
    """

    def __init__(
        self, most: int, kept_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most: Final = most
        self._kept_s: Final = kept_s
        self._clock: Final = clock
        self._answers: Final[OrderedDict[tuple[str, str], tuple[float, Any]]] = OrderedDict()
        self._by_project: Final[Counter[str]] = Counter()

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._answers)

    def holds(self, project_id: str) -> bool:
        """Whether there are any of a project."""
        return project_id in self._by_project

    def get(self, project_id: str, digest: str) -> Any | None:
        """The answer to what has this digest, where it is young enough."""
        found = self._answers.get((project_id, digest))
        if found is None:
            return None
        if self._clock() - found[0] >= self._kept_s:
            self._drop((project_id, digest))
            return None
        self._answers.move_to_end((project_id, digest))
        return found[1]

    def put(self, project_id: str, digest: str, answer: Any) -> None:
        """Keep an answer."""
        if self._most == 0:
            return
        if (project_id, digest) in self._answers:
            self._drop((project_id, digest))
        self._answers[project_id, digest] = (self._clock(), answer)
        self._by_project[project_id] += 1
        if len(self._answers) > self._most:
            self._drop(next(iter(self._answers)))

    def _drop(self, name: tuple[str, str]) -> None:
        del self._answers[name]
        self._by_project[name[0]] -= 1
        if not self._by_project[name[0]]:
            del self._by_project[name[0]]
