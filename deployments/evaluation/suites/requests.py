"""The bodies that ask for a suite's eval and its runs, in OpenAI's shapes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from deployments.evaluation.suites.items import Row, schema_of, synthetic_count
from deployments.evaluation.suites.reading import LoadedSuite
from deployments.evaluation.suites.suite import Suite

__all__ = ["INLINE_BYTES", "SUITE_DIGEST", "eval_body", "run_body", "source_of", "uploaded_lines"]

INLINE_BYTES: Final = 2 * 1024**2
"""Items above so many bytes are uploaded as a file; the gateway's bodies are bounded."""
SUITE_DIGEST: Final = "suite_sha256"
"""Metadata of an eval: equal where schema and graders are, so that its runs are comparable."""


def eval_body(loaded: LoadedSuite, rows: Sequence[Row]) -> dict[str, Any]:
    """Body of `POST /v1/evals`: the items' schema, and the graders."""
    suite = loaded.suite
    config = {
        "type": "custom",
        "item_schema": schema_of(row.item for row in rows),
        "include_sample_schema": True,
    }
    defined = {"data_source_config": config, "testing_criteria": list(suite.graders)}
    metadata = {"suite": suite.name, SUITE_DIGEST: _digest(defined)} | _origin(rows)
    return {"name": suite.name, **defined, "metadata": metadata}


def run_body(
    loaded: LoadedSuite,
    rows: Sequence[Row],
    source: Mapping[str, Any],
    *,
    model: str | None,
    store_ids: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    """Body of `POST /v1/evals/{eval_id}/runs`.

    `model` is None where the answers are given. `store_ids` are those of `file_search`.
    """
    suite = loaded.suite
    metadata = {
        "suite": suite.name,
        "items_sha256": _digest([row.item for row in rows]),
        "seed": str(seed),
    }
    metadata |= _origin(rows)
    if suite.slices:
        metadata["slice_by"] = ",".join(suite.slices)[:512]
    name = suite.name if suite.repeats == 1 else f"{suite.name} (seed {seed})"
    data_source = _data_source(loaded, source, model, store_ids, seed)
    return {"name": name, "data_source": data_source, "metadata": metadata}


def source_of(rows: Sequence[Row], given: str | None) -> dict[str, Any]:
    """The items as they stand in a request. `given` names the field that holds the answer."""
    return {"type": "file_content", "content": [_content(row, given) for row in rows]}


def uploaded_lines(rows: Sequence[Row], given: str | None) -> bytes:
    """The same as a file of JSON Lines."""
    lines = (json.dumps(_content(row, given), ensure_ascii=False) for row in rows)
    return ("\n".join(lines) + "\n").encode()


def _content(row: Row, given: str | None) -> dict[str, Any]:
    content: dict[str, Any] = {"item": dict(row.item)}
    if given is not None:
        answer = row.item[given]
        text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        content["sample"] = {"output_text": text}
    elif row.sample is not None:
        content["sample"] = dict(row.sample)
    return content


def _data_source(
    loaded: LoadedSuite,
    source: Mapping[str, Any],
    model: str | None,
    store_ids: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    if model is None:
        return {"type": "jsonl", "source": source}
    suite = loaded.suite
    template = {"type": "template", "template": list(loaded.messages)}
    asked = {"source": source, "input_messages": template, "model": model}
    if suite.answers.file_search is None:
        sampling = _sampling(suite, chat=True) | {"seed": seed}
        return {"type": "completions", **asked, "sampling_params": sampling}
    sampling = _sampling(suite, chat=False) | {"tools": [_file_search(suite, store_ids)]}
    return {"type": "responses", **asked, "sampling_params": sampling}


def _sampling(suite: Suite, *, chat: bool) -> dict[str, Any]:
    set_by = suite.answers.sampling
    sampling: dict[str, Any] = {
        "temperature": set_by.temperature,
        "max_completion_tokens": set_by.max_completion_tokens,
    }
    if set_by.top_p is not None:
        sampling["top_p"] = set_by.top_p
    if (schema := set_by.json_schema) is not None:
        named = {"name": "answer", "schema": schema, "strict": True}
        if chat:
            sampling["response_format"] = {"type": "json_schema", "json_schema": named}
        else:
            sampling["text"] = {"format": {"type": "json_schema", **named}}
    return sampling


def _file_search(suite: Suite, store_ids: Sequence[str]) -> dict[str, Any]:
    search = suite.answers.file_search
    tool: dict[str, Any] = {"type": "file_search", "vector_store_ids": list(store_ids)}
    if search is not None:
        chosen = {"max_num_results": search.max_results, "mode": search.mode}
        chosen |= {"rerank": search.rerank}
        tool |= {key: value for key, value in chosen.items() if value is not None}
    return tool


def _origin(rows: Sequence[Row]) -> dict[str, str]:
    """Whatever is made of synthetic items says so."""
    count = synthetic_count(row.item for row in rows)
    return {"synthetic": f"{count} of {len(rows)} items"} if count else {}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
