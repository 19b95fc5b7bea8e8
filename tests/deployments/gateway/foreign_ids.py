"""What is asked of every route with ids of another project: paths, bodies, queries and filters."""

from typing import Any, Final, NamedTuple

from tests.fixtures.tenant import BASE

__all__ = [
    "BODIES",
    "FILTERS",
    "FREE",
    "NOBODYS",
    "OTHERWISE",
    "QUERIES",
    "SAID",
    "WORD",
    "Reference",
    "models",
    "references",
]

WORD: Final = "8d1f03a6c2e74b95"
NOBODYS: Final = "5b90e4d7a1c8f362"
"""Of the same form; no record has it."""
SAID: Final = {"messages": [{"role": "user", "content": "What is it?"}]}

BODIES: Final[dict[str, Any]] = {
    "/v1/vector_stores/{vector_store_id}": {"name": "mine"},
    "/v1/vector_stores/{vector_store_id}/search": {"query": "secret"},
    "/v1/vector_stores/{vector_store_id}/files": {"file_id": "file-none"},
    "/v1/vector_stores/{vector_store_id}/files/{file_id}": {"attributes": {"a": "b"}},
    "/v1/vector_stores/{vector_store_id}/file_batches": {"file_ids": ["file-none"]},
    "/v1/aliases/{name}/promote": {"target": BASE, "gate": "gate_none"},
    "/v1/aliases/{name}/rollback": {"steps": 1},
    "/v1/evals/{eval_id}": {"name": "mine"},
    "/v1/evals/{eval_id}/runs": {
        "data_source": {
            "type": "jsonl",
            "source": {"type": "file_content", "content": [{"item": {"a": "b"}}]},
        }
    },
    "/v1/prompts/{name}": {"description": "mine"},
    "/v1/prompts/{name}/versions": {"messages": [{"role": "system", "content": "mine"}]},
    "/v1/prompts/{name}/render": {},
    "/v1/prompts/{name}/labels/{label}": {"version": "1"},
    "/v1/prompts/{name}/labels/{label}/rollback": {},
    "/v1/experiments/{experiment_id}": {"name": "mine"},
    "/v1/experiments/{experiment_id}/stop": {"reason": "mine"},
    "/v1/experiments/{experiment_id}/arms/{arm}/stop": {"reason": "mine"},
    "/v1/experiments/{experiment_id}/ramp": {"share": 1.0},
    "/v1/experiments/{experiment_id}/promote": {"arm": "b"},
    "/v1/feedback/{feedback_id}/review": {"review": "accepted"},
    "/v1/drift/monitors/{monitor_id}": {"name": "mine"},
    "/v1/drift/reports/{report_id}/dataset": {"topic": 1, "kind": "eval"},
    "/v1/projects/{project_id}": {"name": "mine"},
    "/v1/keys/{key_id}": {"name": "mine"},
    "/v1/keys/{key_id}/rotate": {"grace_s": 0},
}
"""What is sent to a route with an id in its path, where it takes a body."""

QUERIES: Final = {
    "/v1/prompts/{name}/diff": {"from": "1"},
}


OTHERWISE: Final = {("DELETE", "/v1/models/{model_id:path}"): {400, 404}}
"""Routes that answer to no such id otherwise: only adapters can be deleted there."""


class Reference(NamedTuple):
    """A request whose body names what `w` has; it is refused as if there were no such thing."""

    method: str
    path: str
    body: Any
    statuses: frozenset[int] = frozenset({404})


def models(w: str) -> list[str]:
    """Names of models that only the project of `w` has."""
    return [f"ft:{BASE}:{w}", f"alias-{w}", f"arm:exp_{w}:b"]


def _naming_models(w: str) -> list[Reference]:
    return [
        request
        for model in models(w)
        for request in (
            Reference("POST", "/v1/chat/completions", {"model": model, **SAID}),
            Reference("POST", "/v1/completions", {"model": model, "prompt": "What?"}),
            Reference("POST", "/v1/responses", {"model": model, "input": "What?"}),
            Reference("POST", "/v1/embeddings", {"model": model, "input": "What?"}),
            Reference("POST", "/v1/rerank", {"model": model, "query": "What?", "documents": ["a"]}),
        )
    ]


def references(w: str, eval_id: str, store_id: str) -> list[Reference]:
    """Every way to name another project's things in a body. `eval_id` and `store_id` are one's
    own."""
    file, store, prompt = f"file-{w}", f"vs_{w}", f"plan-{w}"
    ask = {"model": BASE, "input": "What is it?"}
    search = {"tools": [{"type": "file_search", "vector_store_ids": [store]}]}
    runs = f"/v1/evals/{eval_id}/runs"
    by_model = {
        "type": "completions",
        "source": {"type": "file_content", "content": [{"item": {"question": "What?"}}]},
    }
    arms = [{"name": "a"}, {"name": "b", "model": f"ft:{BASE}:{w}"}]
    prompted = [{"name": "a"}, {"name": "b", "prompt": prompt}]
    plan = {"metric": {"name": "trace:empty"}}
    train = {"model": BASE, "training_file": file}
    stays = frozenset({400, 404})
    return [
        *_naming_models(w),
        Reference("POST", "/v1/responses", {**ask, "previous_response_id": f"resp_{w}"}),
        Reference("POST", "/v1/responses", {**ask, **search}),
        Reference("POST", "/v1/responses", {**ask, "prompt": {"id": prompt}}),
        Reference("POST", "/v1/responses", {**ask, "prompt": {"id": f"prompt_{w}"}}),
        Reference(
            "POST",
            "/v1/chat/completions",
            {"model": BASE, **SAID, "file_search": {"vector_store_ids": [store]}},
        ),
        Reference(
            "POST", "/v1/chat/completions", {"model": BASE, **SAID, "prompt": {"id": prompt}}
        ),
        Reference("POST", "/v1/vector_stores", {"file_ids": [file]}),
        Reference("POST", f"/v1/vector_stores/{store_id}/files", {"file_id": file}),
        Reference("POST", f"/v1/vector_stores/{store_id}/file_batches", {"file_ids": [file]}),
        Reference("POST", "/v1/fine_tuning/jobs", train, stays),
        Reference("POST", "/v1/gate_runs", _gate(f"ft:{BASE}:{w}", "file-none")),
        Reference("POST", "/v1/gate_runs", _gate(f"arm:exp_{w}:b", "file-none")),
        Reference("POST", "/v1/aliases", {"name": "mine", "target": f"ft:{BASE}:{w}"}, stays),
        Reference(
            "POST",
            "/v1/aliases/assistant/promote",
            {"target": BASE, "gate": f"gate_{w}"},
        ),
        Reference(
            "POST",
            "/v1/aliases/assistant/promote",
            {"target": f"ft:{BASE}:{w}", "override": True, "reason": "mine"},
        ),
        Reference(
            "POST", "/v1/experiments", {"alias": f"alias-{w}", "arms": arms, "settings": plan}
        ),
        Reference(
            "POST", "/v1/experiments", {"alias": "assistant", "arms": arms, "settings": plan}
        ),
        Reference(
            "POST", "/v1/experiments", {"alias": "assistant", "arms": prompted, "settings": plan}
        ),
        Reference("POST", "/v1/feedback", {"trace_id": f"trace_{w}", "thumbs": "up"}),
        Reference("POST", "/v1/feedback", {"request_id": f"req_{w}", "thumbs": "up"}),
        Reference("POST", "/v1/feedback", {"response_id": f"resp_{w}", "thumbs": "up"}),
        Reference("POST", "/v1/feedback/tokens", {"trace_ids": [f"trace_{w}"]}),
        Reference(
            "POST",
            "/v1/evals/comparisons",
            {"baseline": f"evalrun_{w}", "candidate": f"evalrun_other{w}"},
        ),
        Reference(
            "POST",
            runs,
            {"data_source": {"type": "jsonl", "source": {"type": "file_id", "id": file}}},
        ),
        *(
            Reference("POST", runs, {"data_source": {**by_model, "model": model}})
            for model in models(w)
        ),
        Reference(
            "POST",
            runs,
            {
                "data_source": {
                    "type": "completions",
                    "source": {"type": "stored_completions", "metadata": {"w": w}},
                    "model": BASE,
                }
            },
            stays,
        ),
    ]


def _gate(adapter: str, file: str) -> dict[str, str]:
    return {"adapter": adapter, "alias": "assistant", "evaluation_file": file}


FILTERS: Final = {
    "/v1/traces": {
        "alias": f"alias-{WORD}",
        "model": f"ft:{BASE}:{WORD}",
        "prompt_version": f"plan-{WORD}",
        "experiment_id": f"exp_{WORD}",
        "vector_store": f"vs_{WORD}",
        "file": f"file-{WORD}",
        "q": WORD,
    },
    "/v1/vector_stores": {"name": f"the secret {WORD}"},
    "/v1/gate_runs": {"alias": "assistant", "adapter": f"ft:{BASE}:{WORD}"},
    "/v1/experiments": {"alias": f"alias-{WORD}"},
    "/v1/feedback": {"trace_id": f"trace_{WORD}"},
    "/v1/alerts": {"source": f"monitor_{WORD}"},
}
"""Parameters of lists that ask for what another project has."""

FREE: Final = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/files",
    "/v1/prompts",
    "/v1/prompts/import",
    "/v1/evals",
    "/v1/drift/monitors",
    "/v1/alerts/test",
    "/v1/feedback/end-user",
    "/v1/fine_tuning/alpha/graders/validate",
    "/v1/fine_tuning/alpha/graders/run",
    "/v1/moderations",
    "/v1/keys",
    "/v1/projects",
    "/v1/audit",
}
"""Routes whose body names no id of a thing of the project."""
