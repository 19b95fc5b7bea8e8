"""What a request does without while its model is pressed, before it is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cluster.sections.limits import LimitsSettings
from deployments.errors import Overloaded
from deployments.limits.kept_answers import KeptAnswers
from deployments.limits.ladder import Ladder, Step, Steps
from deployments.limits.model_queue import ModelQueue

__all__ = ["Ease", "Relief"]


@dataclass(frozen=True, slots=True)
class Ease:
    """What one request may do without."""

    step: Step = Step.WHOLE
    refusal: Overloaded | None = None
    """What it is told where no earlier answer can be given to it."""


class Relief:
    """One gateway replica's ladders, a rung for each model and project."""

    def __init__(
        self,
        queues: Mapping[str, ModelQueue],
        contexts: Mapping[str, int],
        kept: KeptAnswers,
        settings: LimitsSettings,
    ) -> None:
        self._queues: Final = dict(queues)
        self._contexts: Final = dict(contexts)
        self._kept: Final = kept
        self._settings: Final = settings
        steps = Steps.of(settings)
        self._ladders: Final = {model: Ladder(steps) for model in queues}

    def ease(
        self, model: str, project_id: str, deadline_s: float, *, may_degrade: bool, grounded: bool
    ) -> Ease:
        """How a user's request is answered that has `deadline_s` seconds. Raises Overloaded."""
        queue = self._queues.get(model)
        if queue is None:
            return Ease()
        step = Step.WHOLE
        if may_degrade and self._settings.degrade:
            pressure = queue.pressure(project_id, deadline_s)
            step = self._ladders[model].step(project_id, pressure)
        if not queue.refuses(project_id, deadline_s):
            return Ease(step)
        refusal = queue.refusal(project_id)
        if grounded and step >= Step.CACHED_ANSWER and self._kept.holds(project_id):
            return Ease(step, refusal)
        raise refusal

    def smaller_model(
        self, model: str, project_id: str, deadline_s: float, *, may_degrade: bool, grounded: bool
    ) -> str | None:
        """The model that answers in the place of `model` now; None where it does so itself.

        Passages are fitted to a model's context, other requests are not: for them it must be as
        large.
        """
        smaller = self._settings.fallback_model.get(model)
        if not may_degrade or not self._settings.degrade or smaller not in self._queues:
            return None
        if not grounded and self._contexts[smaller] < self._contexts[model]:
            return None
        pressure = self._queues[model].pressure(project_id, deadline_s)
        if self._ladders[model].step(project_id, pressure) < Step.SMALLER_MODEL:
            return None
        if self._queues[smaller].pressure(project_id, deadline_s) >= pressure:
            return None
        return smaller

    def refusal(
        self, project_id: str, deadline_s: float, *, background: bool, may_degrade: bool
    ) -> Overloaded | None:
        """What a request is told of which only the headers are known; None: read it.

        Only where no model would take it, and no earlier answer could be given either.
        """
        if not self._queues or (
            may_degrade and self._settings.degrade and self._kept.holds(project_id)
        ):
            return None
        queues = self._queues.values()
        if not all(q.refuses(project_id, deadline_s, background=background) for q in queues):
            return None
        return next(iter(queues)).refusal(project_id, background=background)
