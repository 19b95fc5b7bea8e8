"""What a run's results add up to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cluster.settings import JudgeBar
from deployments.evaluation.cases import Score
from deployments.evaluation.graders.grader import Grader
from deployments.evaluation.graders.judged import JudgedGrader
from deployments.evaluation.judges.standing import judge_may_decide
from deployments.evaluation.runs.ledger import StoredResult
from deployments.evaluation.runs.samples import cleaned

__all__ = ["failure_reason", "score_of", "summarise"]

_ERRORS: Final = 20
_QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


def summarise(
    results: Sequence[StoredResult], graders: Sequence[Grader], bar: JudgeBar
) -> dict[str, Any]:
    """Counts, figures by grader, tokens by model, seconds, and the errors there were.

    A judge's figures end with its `standing`: whether, by `bar`, it may decide a promotion.
    """
    outcomes = Counter(result.outcome for result in results)
    return {
        "counts": {
            "total": len(results),
            "passed": outcomes["pass"],
            "failed": outcomes["fail"],
            "errored": outcomes["error"],
        },
        "graders": [_of_grader(grader, results, bar) for grader in graders],
        "per_model_usage": _usage(results),
        "seconds": _seconds(results),
        "errors": _errors(results),
    }


def score_of(kept: Mapping[str, Any]) -> Score:
    """The score of what the records keep."""
    return Score(kept["value"], kept["passed"], kept.get("detail") or {})


def failure_reason(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """Why the run as a whole failed: none of its items could be scored. Else None."""
    counts = summary["counts"]
    if counts["errored"] < counts["total"] or not summary["errors"]:
        return None
    worst = summary["errors"][0]
    return {
        "code": "every_item_failed",
        "message": f"None of the {counts['total']} items could be scored. Of {worst['count']}: "
        f"{worst['message']}",
    }


def _of_grader(grader: Grader, results: Sequence[StoredResult], bar: JudgeBar) -> dict[str, Any]:
    scores = [
        score_of(result.scores[grader.name]) for result in results if grader.name in result.scores
    ]
    values = [score.value for score in scores if score.value is not None]
    passed = Counter(score.passed for score in scores)
    return {
        "name": grader.name,
        "metric": grader.metric,
        "binary": grader.binary,
        "higher_is_better": grader.higher_is_better,
        "mean": sum(values) / len(values) if values else None,
        "scored": len(values),
        "not_applicable": len(scores) - len(values),
        "errored": len(results) - len(scores),
        "passed": passed[True],
        "failed": passed[False],
        "figures": cleaned(dict(grader.summary(scores))),
        "judge": _judge(grader, scores, bar),
    }


def _judge(grader: Grader, scores: Sequence[Score], bar: JudgeBar) -> dict[str, Any] | None:
    """What the scores say of the judge that gave them; None of a grader that asks none."""
    if not isinstance(grader, JudgedGrader):
        return None
    report = grader.report(scores)
    standing = judge_may_decide(report, bar)
    told: dict[str, Any] = cleaned(report.model_dump(mode="json"))
    return {**told, "standing": standing.model_dump(mode="json")}


def _usage(results: Sequence[StoredResult]) -> list[dict[str, Any]]:
    used: dict[str, dict[str, Any]] = {}
    for result in results:
        sample = result.sample or {}
        if not (model := sample.get("model")):
            continue
        row = used.setdefault(
            model,
            {
                "model_name": model,
                "invocation_count": 0,
                "prompt_tokens": 0,
                "completion_tokens": 0,
                "cached_tokens": 0,
                "total_tokens": 0,
            },
        )
        row["invocation_count"] += 1
        for name in ("prompt_tokens", "completion_tokens"):
            row[name] += sample.get(name) or 0
            row["total_tokens"] += sample.get(name) or 0
    return list(used.values())


def _seconds(results: Sequence[StoredResult]) -> dict[str, float] | None:
    taken = sorted(
        float(seconds)
        for result in results
        if (seconds := (result.sample or {}).get("seconds")) is not None
    )
    if not taken:
        return None
    last = len(taken) - 1
    quantiles = {name: taken[round(share * last)] for name, share in _QUANTILES}
    return {"mean": sum(taken) / len(taken), **quantiles, "max": taken[-1]}


def _errors(results: Sequence[StoredResult]) -> list[dict[str, Any]]:
    """The kinds of errors, the most frequent first, each with the message of its first item."""
    counted: dict[str, dict[str, Any]] = {}
    for result in results:
        if result.outcome != "error":
            continue
        error = result.error or {"code": "unknown", "message": "There is no word of the reason."}
        row = counted.setdefault(
            error["code"],
            {
                "code": error["code"],
                "message": error["message"],
                "count": 0,
                "first": result.number,
            },
        )
        row["count"] += 1
    return sorted(counted.values(), key=lambda row: -row["count"])[:_ERRORS]
