"""Both sides of a gate run are asked as clients of the alias would be."""

from typing import Any

from cluster.records import GateRun
from training.queue.contenders import asked_with

SERVING: dict[str, Any] = {
    "prompt": "tone@0123456789ab",
    "retrieval": {"mode": "bm25", "max_num_results": 3, "score_threshold": 0.2, "rerank": None},
}


def run_of(candidate: str) -> GateRun:
    return GateRun(id="gate_1", alias="assistant", adapter_id=candidate, evaluation_file="file-1")


def test_an_adapter_is_asked_with_the_prompt_and_the_retrieval_of_the_alias() -> None:
    search = {"vector_store_ids": ["vs_1"], "max_num_results": 7}
    assert asked_with(run_of("ft:tiny:x:0"), SERVING, search) == {
        "prompt": {"id": "tone", "version": "0123456789ab"},
        "file_search": {
            "mode": "bm25",
            "ranking_options": {"score_threshold": 0.2},
            "vector_store_ids": ["vs_1"],
            "max_num_results": 7,  # what the gate's settings say goes first
        },
    }


def test_without_documents_only_the_prompt_counts() -> None:
    assert asked_with(run_of("ft:tiny:x:0"), SERVING, None) == {
        "prompt": {"id": "tone", "version": "0123456789ab"}
    }
    assert asked_with(run_of("ft:tiny:x:0"), {}, None) == {}


def test_an_arm_brings_its_own() -> None:
    search = {"vector_store_ids": ["vs_1"]}
    assert asked_with(run_of("arm:exp_1:new"), SERVING, search) == {"file_search": search}
