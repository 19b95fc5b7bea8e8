"""`/v1/fine_tuning/alpha/graders`: try a grader on one answer, or have it checked."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from deployments.evaluator.messages import GradedAnswer
from deployments.gateway.evals.bodies import GraderRun, GraderValidate
from deployments.gateway.evals.names import check_names
from deployments.gateway.evals.planning import checked_grader
from deployments.gateway.services import Services, services

__all__ = ["router"]

router = APIRouter(prefix="/v1/fine_tuning/alpha/graders", tags=["Graders"])


@router.post("/validate", summary="Validate a grader")
async def validate_grader(body: GraderValidate) -> dict[str, Any]:
    """Check a grader, and give it back as it was read."""
    spec = checked_grader(body.grader, "grader")
    return {"grader": spec.model_dump(mode="json", exclude_none=True)}


@router.post("/run", summary="Run a grader")
async def run_grader(
    body: GraderRun, parts: Annotated[Services, Depends(services)]
) -> dict[str, Any]:
    """Grade one answer: `model_sample` is what templates name `sample.output_text`."""
    spec = checked_grader(body.grader, "grader")
    item = body.item or {}
    check_names(body.grader, set(item), "grader", sample=True)
    started = time.perf_counter()
    graded = await parts.evaluator.grade(body.grader, item, body.model_sample)
    seconds = time.perf_counter() - started
    values = graded.detail.get("values")
    return {
        "reward": 0.0 if graded.value is None else graded.value,
        "sub_rewards": values if isinstance(values, dict) else {},
        "model_grader_token_usage_per_model": {},
        "passed": graded.passed,
        "metadata": {
            "name": spec.name,
            "type": spec.type,
            "execution_time": seconds,
            "scores": {"value": graded.value, "passed": graded.passed, "detail": graded.detail},
            "errors": _errors(graded),
            "token_usage": None,
            "sampled_model_name": None,
        },
    }


def _errors(graded: GradedAnswer) -> dict[str, Any]:
    """OpenAI's flags, none of which is set where all went well."""
    code = None if graded.error is None else graded.error["code"]
    message = None if graded.error is None else graded.error["message"]
    model = code in {"api_error", "unreachable_error"}
    return {
        "formula_parse_error": code == "formula_error",
        "invalid_variable_error": code == "template_error",
        "model_grader_parse_error": False,
        "model_grader_refusal_error": False,
        "model_grader_server_error": model,
        "model_grader_server_error_details": message if model else None,
        "other_error": code not in {None, "formula_error", "template_error"} and not model,
        "python_grader_runtime_error": False,
        "python_grader_runtime_error_details": None,
        "python_grader_server_error": False,
        "python_grader_server_error_type": None,
        "sample_parse_error": False,
        "truncated_observation_error": False,
        "unresponsive_reward_error": False,
        "message": message,
    }
