"""Traces on the wire: what a collector is sent, and what happens when it takes nothing."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.database import Database
from cluster.sections.tracing import OtlpSettings, TracingSettings
from deployments.tracing.draft import TraceDraft
from deployments.tracing.otel import SpanExport
from deployments.tracing.rows import RowMaker
from deployments.tracing.writer import TraceWriter
from tests.fakes.collector import Collector, running_collector

_BEGAN_NS = 1_700_000_000_000_000_000
_PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    """One that takes everything."""
    with running_collector() as running:
        yield running


def _draft(**values: Any) -> TraceDraft:
    """A grounded answer."""
    given: dict[str, Any] = {
        "request_id": "req_1",
        "route": "/v1/responses",
        "model": "ft:one",
        "alias": "assistant",
        "prompt_version": "qa@aaaaaaaaaaaa",
        "question": "How long?",
        "answer": "Ten days.",
        "refused": False,
        "duration_ms": 100.0,
        "began_ms": {"retrieve": 1.0, "generate": 30.0},
        "timings_ms": {
            "retrieve": 20.0,
            "retrieve_embed": 8.0,
            "retrieve_dense": 4.0,
            "retrieve_bm25": 15.0,
            "retrieve_fuse": 1.0,
            "retrieve_total": 19.0,
            "generate": 60.0,
            "model_first_token": 12.0,
        },
        "body": {
            "base_model": "base",
            "query": "How long?",
            "vector_store_ids": ["vs_1"],
            "passages": [{"id": "p1", "score": 0.9, "text": "Ten days of leave."}],
            "left_out": [{"id": "p2", "score": 0.1}],
            "tokens": {"prompt": 50, "completion": 5},
            "finish_reason": "stop",
            "input": {
                "messages": [{"role": "user", "content": "How long?"}],
                "options": {"temperature": 0.5, "max_output_tokens": 20, "stop": ["\n"]},
            },
        },
    }
    return TraceDraft(**{**given, **values})


def _sent(collector: Collector, draft: TraceDraft, **settings: Any) -> dict[str, Any]:
    """The spans that arrive, by name."""
    export = SpanExport.of(OtlpSettings(endpoint=collector.url, **settings))
    export.offer(RowMaker().values(draft), _BEGAN_NS)
    export.close()
    return {span.name: span for span in collector.spans}


def _attributes(span: Any) -> dict[str, Any]:
    found = {}
    for attribute in span.attributes:
        kind = attribute.value.WhichOneof("value")
        value = getattr(attribute.value, kind)
        if kind == "array_value":
            value = [item.string_value for item in value.values]
        found[attribute.key] = value
    return found


def _place(span: Any) -> tuple[float, float]:
    """Start and end in milliseconds from the request's start."""
    return (
        (span.start_time_unix_nano - _BEGAN_NS) / 1e6,
        (span.end_time_unix_nano - _BEGAN_NS) / 1e6,
    )


def test_a_request_is_one_trace_of_its_stages(collector: Collector) -> None:
    spans = _sent(collector, _draft(), headers={"x-key": "one"})
    assert collector.services == {"everloop"}
    assert collector.headers[0]["x-key"] == "one"
    root = spans["POST /v1/responses"]
    assert len({span.trace_id for span in spans.values()}) == 1
    assert root.parent_span_id == b""
    parents = {
        "retrieval vs_1": root,
        "chat ft:one": root,
        "embeddings": spans["retrieval vs_1"],
        "bm25": spans["retrieval vs_1"],
        "dense": spans["retrieval vs_1"],
        "fuse": spans["retrieval vs_1"],
    }
    assert set(spans) == {"POST /v1/responses", *parents}
    for name, parent in parents.items():
        assert spans[name].parent_span_id == parent.span_id, name
    assert {name: _place(span) for name, span in spans.items()} == {
        "POST /v1/responses": (0.0, 100.0),
        "retrieval vs_1": (1.0, 21.0),
        "embeddings": (1.0, 9.0),
        "dense": (9.0, 13.0),
        "bm25": (1.0, 16.0),
        "fuse": (16.0, 17.0),
        "chat ft:one": (30.0, 90.0),
    }


def test_spans_say_what_the_conventions_name(collector: Collector) -> None:
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai

    spans = _sent(collector, _draft())
    assert _attributes(spans["chat ft:one"]) == {
        gen_ai.GEN_AI_OPERATION_NAME: "chat",
        gen_ai.GEN_AI_PROVIDER_NAME: "everloop",
        gen_ai.GEN_AI_REQUEST_MODEL: "assistant",
        gen_ai.GEN_AI_RESPONSE_MODEL: "ft:one",
        gen_ai.GEN_AI_USAGE_INPUT_TOKENS: 50,
        gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS: 5,
        gen_ai.GEN_AI_RESPONSE_FINISH_REASONS: ["stop"],
        gen_ai.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: 0.012,
        gen_ai.GEN_AI_PROMPT_NAME: "qa@aaaaaaaaaaaa",
        gen_ai.GEN_AI_REQUEST_TEMPERATURE: 0.5,
        gen_ai.GEN_AI_REQUEST_MAX_TOKENS: 20,
    }
    retrieval = _attributes(spans["retrieval vs_1"])
    assert json.loads(retrieval.pop(gen_ai.GEN_AI_RETRIEVAL_DOCUMENTS)) == [
        {"id": "p1", "score": 0.9},
        {"id": "p2", "score": 0.1},
    ]
    assert retrieval == {
        gen_ai.GEN_AI_OPERATION_NAME: "retrieval",
        gen_ai.GEN_AI_PROVIDER_NAME: "everloop",
        gen_ai.GEN_AI_DATA_SOURCE_ID: "vs_1",
    }
    server = _attributes(spans["POST /v1/responses"])
    assert server["http.response.status_code"] == 200
    assert server["everloop.model.base"] == "base"


def test_texts_go_out_only_where_the_settings_say_so(collector: Collector) -> None:
    without = _sent(collector, _draft())
    assert b"Ten days" not in b"".join(span.SerializeToString() for span in without.values())
    collector.spans.clear()
    spans = _sent(collector, _draft(), content=True)
    said = _attributes(spans["chat ft:one"])
    assert json.loads(said["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "How long?"}]}
    ]
    assert json.loads(said["gen_ai.output.messages"]) == [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": "Ten days."}],
            "finish_reason": "stop",
        }
    ]
    assert _attributes(spans["POST /v1/responses"])["everloop.answer"] == "Ten days."


def test_the_clients_trace_is_continued(collector: Collector) -> None:
    draft = _draft()
    draft.body["traceparent"] = _PARENT
    root = _sent(collector, draft)["POST /v1/responses"]
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == ("a" * 32, "b" * 16)


def test_a_client_that_does_not_record_is_followed(collector: Collector) -> None:
    draft = _draft()
    draft.body["traceparent"] = _PARENT[:-1] + "0"
    assert _sent(collector, draft) == {}


def test_a_failure_is_one_in_its_spans(collector: Collector) -> None:
    draft = _draft(status=503)
    draft.body["error"] = {"code": "overloaded"}
    spans = _sent(collector, draft)
    for name in ("POST /v1/responses", "chat ft:one"):
        assert spans[name].status.code == 2  # STATUS_CODE_ERROR
        assert _attributes(spans[name])["error.type"] == "overloaded"
    assert spans["bm25"].status.code == 0


def test_what_a_collector_refuses_is_counted(collector: Collector) -> None:
    collector.status = 400
    export = SpanExport.of(OtlpSettings(endpoint=collector.url, timeout_s=1))
    for _ in range(3):
        export.offer(RowMaker().values(_draft()), _BEGAN_NS)
    export.close()
    assert (export.exported, export.dropped) == (0, 3)


def test_a_collector_that_hangs_costs_traces_and_no_time(collector: Collector) -> None:
    collector.go.clear()
    export = SpanExport.of(OtlpSettings(endpoint=collector.url, max_queued=2, timeout_s=20))
    row = RowMaker().values(_draft())
    for _ in range(200):
        export.offer(row, _BEGAN_NS)
    assert export.dropped >= 200 - 2 - 64, "the queue and what is under way"
    before = export.dropped
    export.offer(row, _BEGAN_NS)
    assert export.dropped == before + 1
    collector.go.set()
    export.close()
    assert export.exported + export.dropped == 201
    assert export.exported >= 2


async def test_what_is_written_is_exported_once_and_masked(
    collector: Collector, database: Database
) -> None:
    """Also where the records are down: the collector need not wait for them."""
    otlp = OtlpSettings(endpoint=collector.url, content=True)
    settings = TracingSettings(flush_interval_s=60, mask="mask", otlp=otlp)
    for records in (database, Database("postgresql://someone@127.0.0.1:1/everloop", 1)):
        collector.spans.clear()
        writer = TraceWriter.of(records, settings)
        writer.record(_draft(answer="Ask anna@example.org."))
        await writer.flush()
        await writer.flush()
        await writer.close()
        roots = [span for span in collector.spans if not span.parent_span_id]
        assert [_attributes(root)["everloop.answer"] for root in roots] == ["Ask <EMAIL_ADDRESS>."]
        assert writer.counts().exported == 1


def test_nobody_at_the_address_is_no_error() -> None:
    export = SpanExport.of(OtlpSettings(endpoint="http://127.0.0.1:9/v1/traces", timeout_s=0.5))
    export.offer(RowMaker().values(_draft()), _BEGAN_NS)
    export.close()
    assert (export.exported, export.dropped) == (0, 1)
