"""One answer graded at once: what `graders/run` asks for."""

import json
from collections.abc import Mapping
from typing import Any

from deployments.evaluation.cases import Case, Sample
from deployments.evaluation.graders.build import build_grader
from deployments.evaluation.graders.specs import read_grader
from deployments.evaluation.runs.grading import grade_cases, score_json
from deployments.evaluation.toolbox import Toolbox
from deployments.evaluator.messages import GradedAnswer

__all__ = ["grade_answer"]


async def grade_answer(
    given: Mapping[str, Any], item: Mapping[str, Any], answer: str, toolbox: Toolbox
) -> GradedAnswer:
    """Grade `answer` by a grader's body. Raises SpecError."""
    grader = build_grader(read_grader(given), toolbox)
    sample = Sample(output_text=answer, output_json=_json_of(answer))
    [graded] = await grade_cases([Case(1, item, sample)], [grader])
    if graded.failure is not None:
        return GradedAnswer(None, None, {}, graded.failure.json())
    kept = score_json(graded.scores[grader.name])
    return GradedAnswer(kept["value"], kept["passed"], kept["detail"])


def _json_of(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
