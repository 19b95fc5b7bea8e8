"""The evals of the stand-in API, in memory: two graders over a model that knows a few capitals.

The model answers well only where its system message says «Answer briefly», so that a test can plant
a regression of the prompt. A run makes half of what is left at each look at it.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from deployments.evaluation.comparison import ComparisonSettings, ScoredRun, compare_runs
from tests.fakes.scored_runs import scored_run

__all__ = ["FakeEvals"]

Json = dict[str, Any]
_KNOWN = {"France": "Paris", "Japan": "Tokyo", "Italy": "Rome", "Kenya": "Nairobi", "Peru": "Lima"}


@dataclass
class FakeEvals:
    """Its state, for tests to look at."""

    evals: dict[str, Json] = field(default_factory=dict)
    runs: dict[str, Json] = field(default_factory=dict)
    items: dict[str, list[Json]] = field(default_factory=dict)
    bodies: list[Json] = field(default_factory=list)
    """Bodies of the runs that were asked for."""
    files: dict[str, bytes] = field(default_factory=dict)
    broken: str = ""
    """An item whose question holds this ends in an error."""
    failing: bool = False
    """Runs fail as a whole."""
    stuck: bool = False
    """Runs never end."""
    comparisons: list[Json] = field(default_factory=list)

    def create(self, body: Json) -> Json:
        made = body | {"id": f"eval_{len(self.evals) + 1}", "object": "eval", "created_at": 1}
        made["data_source_config"] = {"type": "custom", "schema": body["data_source_config"]}
        self.evals[made["id"]] = made
        return made

    def start(self, eval_id: str, body: Json) -> Json:
        self.bodies.append(body)
        number = len(self.runs) + 1
        run: Json = {"id": f"evalrun_{number}", "object": "eval.run", "created_at": number}
        run |= {"eval_id": eval_id, "name": body["name"], "metadata": body["metadata"]}
        run |= {"data_source": body["data_source"], "status": "queued", "error": None}
        run |= {"model": body["data_source"].get("model"), "report_url": "", "per_model_usage": []}
        run |= {"per_testing_criteria_results": []}
        self.runs[run["id"]] = run
        rows = body["data_source"]["source"].get("content") or []
        self.items[run["id"]] = []
        run["waiting"] = list(enumerate(rows, start=1))
        return self.look(run["id"])

    def look(self, run_id: str) -> Json:
        run = self.runs[run_id]
        if run["status"] in {"queued", "in_progress"} and not self.stuck:
            take = -(-len(run["waiting"]) // 2)
            done, run["waiting"] = run["waiting"][:take], run["waiting"][take:]
            self.items[run_id] += [self._item(run, number, row) for number, row in done]
            run["status"] = "in_progress" if run["waiting"] else "completed"
            if self.failing:
                run["status"] = "failed"
                run["error"] = {"code": "every_item_failed", "message": "no item could be scored"}
        statuses = [item["status"] for item in self.items[run_id]]
        counts = {"passed": statuses.count("pass"), "failed": statuses.count("fail")}
        counts |= {"errored": statuses.count("error"), "total": len(statuses)}
        return {key: value for key, value in run.items() if key != "waiting"} | {
            "result_counts": counts
        }

    def cancel(self, run_id: str) -> Json:
        self.runs[run_id]["status"] = "canceled"
        return self.look(run_id)

    def compare(self, body: Json) -> Json:
        made = {"id": f"evalcmp_{len(self.comparisons) + 1}", "object": "eval.comparison"}
        self.comparisons.append(body)
        baseline, candidate = (
            _scored(body[side], self.items[body[side]]) for side in ("baseline", "candidate")
        )
        settings = ComparisonSettings(resamples=200, slice_by=body.get("slice_by"))
        return made | {
            "report": compare_runs(baseline, candidate, settings).model_dump(mode="json")
        }

    def _item(self, run: Json, number: int, row: Json) -> Json:
        item = row["item"]
        shared: Json = {"id": f"item_{number}", "object": "eval.run.output_item", "created_at": 1}
        shared |= {"eval_id": run["eval_id"], "run_id": run["id"], "datasource_item": item}
        shared |= {"datasource_item_id": number - 1}
        if self.broken and self.broken in str(item):
            error = {"code": "timeout", "message": "the model did not answer"}
            return shared | {"status": "error", "results": [], "sample": {"error": error}}
        answer = self._answer(run["data_source"], row)
        criteria = self.evals[run["eval_id"]]["testing_criteria"]
        results = [_graded(spec, item, answer) for spec in criteria]
        sample: Json = {"output": [{"role": "assistant", "content": answer}], "error": None}
        good = all(result["passed"] is not False for result in results)
        return (
            shared | {"status": "pass" if good else "fail", "results": results} | {"sample": sample}
        )

    def _answer(self, source: Json, row: Json) -> str:
        if source["type"] == "jsonl":
            return str(row["sample"]["output_text"])
        said = [
            _filled(m["content"], row["item"], "") for m in source["input_messages"]["template"]
        ]
        if "Answer briefly" not in said[0]:
            return "I like turtles."
        known = (city for country, city in _KNOWN.items() if country in said[-1])
        return next(known, "I don't know.")


def _scored(name: str, items: list[Json]) -> ScoredRun:
    names = [result["name"] for result in items[0]["results"]]
    scores = {
        name: [next(r["score"] for r in item["results"] if r["name"] == name) for item in items]
        for name in names
    }
    return scored_run(name, scores, items=[item["datasource_item"] for item in items])


def _filled(template: str, item: Json, answer: str) -> str:
    text = template.replace("{{sample.output_text}}", answer)
    return re.sub(r"\{\{item\.(\w+)\}\}", lambda match: str(item[match[1]]), text)


def _graded(spec: Json, item: Json, answer: str) -> Json:
    passed: Any = None
    if spec["type"] == "score_model":
        wanted = _filled(spec["input"][0]["content"], item, answer)
        score = len(set(answer) & set(wanted)) / max(1, len(set(answer) | set(wanted)))
    else:
        given = _filled(spec["input"], item, answer)
        wanted = _filled(spec["reference"], item, answer)
        passed = wanted.casefold() in given.casefold()
        score = float(passed)
    return {"name": spec["name"], "type": spec["type"], "score": score, "passed": passed}
