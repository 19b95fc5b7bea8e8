"""A small, honest stand-in for the gateway: the routes that the command line uses, in memory.

Documents whose bytes contain `BROKEN` fail at parsing; the others complete at the second look.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.evals_api import FakeEvals
from tests.fakes.http_server import serving

__all__ = ["FakeApi", "running_fake_api"]

Json = dict[str, Any]
ANSWER = ["The HTTP interface ", "listens on port 8000. ", "The moon is cheese."]


@dataclass
class FakeApi:
    """Its state, for tests to look at."""

    url: str = ""
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    stores: dict[str, Json] = field(default_factory=dict)
    attached: dict[str, list[Json]] = field(default_factory=dict)
    uploads: int = 0
    evals: FakeEvals = field(default_factory=FakeEvals)
    contents: dict[str, list[str]] = field(default_factory=dict)
    """Passages by file id."""
    found: Callable[[str], list[str]] | None = None
    """Names of the documents that a search finds; None finds the guide."""
    written: Callable[[str], str] | None = None
    """What the chat model says to a prompt."""
    chats: list[Json] = field(default_factory=list)

    def post_file(self, name: str, data: bytes) -> Json:
        self.uploads += 1
        file_id = f"file-{self.uploads}"
        self.files[file_id] = (name, data)
        about: Json = {"id": file_id, "object": "file", "bytes": len(data), "created_at": 1}
        return about | {
            "filename": name,
            "purpose": "assistants",
            "status": "processed",
        }

    def post_store(self, name: str) -> Json:
        store: Json = {"id": f"vs_{len(self.stores) + 1}", "object": "vector_store", "name": name}
        store |= {"created_at": 1, "status": "completed", "usage_bytes": 0, "metadata": {}}
        store["file_counts"] = dict.fromkeys(
            ("in_progress", "completed", "failed", "cancelled", "total"), 0
        )
        self.stores[store["id"]] = store
        self.attached[store["id"]] = []
        return store

    def attach(self, store_id: str, body: Json) -> Json:
        data = self.files[body["file_id"]][1]
        source = body["attributes"]["source"]
        self.attached[store_id] = [
            file
            for file in self.attached[store_id]
            if file["attributes"]["source"] != source or b"BROKEN" in data
        ]
        file: Json = {"id": body["file_id"], "object": "vector_store.file", "created_at": 1}
        file |= {"vector_store_id": store_id, "status": "in_progress", "usage_bytes": 0}
        file |= {"attributes": body["attributes"], "last_error": None, "stage": "parsing"}
        self.attached[store_id].append(file)
        return file

    def list_attached(self, store_id: str, status: str | None) -> list[Json]:
        """A file that was seen in progress has ended when it is looked at again."""
        shown = [f for f in self.attached[store_id] if status in {None, f["status"]}]
        copies = [dict(file) for file in shown]
        for file in shown:
            if file["status"] == "in_progress":
                broken = b"BROKEN" in self.files[file["id"]][1]
                file["status"] = "failed" if broken else "completed"
                if broken:
                    message = "parsing: this file is broken"
                    file["last_error"] = {"code": "invalid_file", "message": message}
        return copies

    def events(self, body: Json) -> Iterator[Json]:
        citation: Json = {"type": "file_citation", "file_id": "file-1", "filename": "guide.pdf"}
        citation |= {"index": 41, "page": 3, "section": ["Ports"], "quote": "listens on port 8000"}
        part = {"type": "output_text", "text": "".join(ANSWER), "annotations": [citation]}
        message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
        response: Json = {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": body["model"],
        }
        response |= {"parallel_tool_calls": False, "tool_choice": "auto", "tools": body["tools"]}
        response |= {"output": [message | {"content": [part]}], "status": "completed"}
        text = "".join(ANSWER)
        start = text.index(ANSWER[-1])
        doubtful = {"start_index": start, "end_index": len(text), "supported": False}
        response["grounding"] = {"sentences": [doubtful | {"checkable": True}]}
        for delta in ANSWER:
            yield {"type": "response.output_text.delta", "delta": delta, "item_id": "msg_1"} | {
                "output_index": 0,
                "content_index": 0,
                "logprobs": [],
                "sequence_number": 1,
            }
        yield {"type": "response.completed", "response": response, "sequence_number": 2}


@contextmanager
def running_fake_api() -> Iterator[FakeApi]:
    """Serve a fresh FakeApi on a free loopback port while the block runs."""
    api = FakeApi()
    with serving(_handler(api)) as api.url:
        yield api


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query)
            words = url.path.removeprefix("/v1/").split("/")
            match words:
                case ["models"]:
                    model = {"id": "smollm2", "object": "model", "created": 1, "owned_by": "us"}
                    self._page([model])
                case ["vector_stores"]:
                    self._page(list(api.stores.values()))
                case ["vector_stores", store_id, "files"]:
                    self._page(api.list_attached(store_id, query.get("filter", [None])[0]))
                case ["vector_stores", store_id, "files", file_id]:
                    self._json(next(f for f in api.attached[store_id] if f["id"] == file_id))
                case ["vector_stores", _, "files", file_id, "content"]:
                    self._page([{"type": "text", "text": t} for t in api.contents[file_id]])
                case ["vector_stores", store_id] if store_id in api.stores:
                    self._json(api.stores[store_id])
                case ["files", file_id, "content"]:
                    self._send(api.files[file_id][1], "application/jsonl")
                case ["evals", *rest]:
                    self._evals(rest)
                case _:
                    self._json(_error(f"{self.path} does not exist"), 404)

        def _evals(self, words: list[str]) -> None:
            evals = api.evals
            match words:
                case []:
                    self._page(list(reversed(evals.evals.values())))
                case ["comparisons", _, "page"]:
                    self._send(b"<h1>comparison</h1>", "text/html")
                case [eval_id]:
                    self._json(evals.evals[eval_id])
                case [eval_id, "runs"]:
                    runs = [run for run in evals.runs.values() if run["eval_id"] == eval_id]
                    self._page([evals.look(run["id"]) for run in reversed(runs)])
                case [eval_id, "runs", run_id] if _belongs(evals, eval_id, run_id):
                    self._json(evals.look(run_id))
                case [_, "runs", run_id, "output_items"]:
                    self._page(evals.items[run_id])
                case [_, "runs", run_id, "report"]:
                    self._json({"run": run_id, "counts": evals.look(run_id)["result_counts"]})
                case [_, "runs", _, "page"]:
                    self._send(b"<h1>report</h1>", "text/html")
                case _:
                    self._json(_error(f"{self.path} does not exist"), 404)

        def do_POST(self) -> None:
            raw = self._body()
            words = self.path.removeprefix("/v1/").split("/")
            if words == ["files"]:
                self._json(api.post_file(*_uploaded(raw)))
                return
            body = json.loads(raw or b"{}")
            match words:
                case ["vector_stores"]:
                    self._json(api.post_store(body["name"]))
                case ["vector_stores", store_id, "files"]:
                    self._json(api.attach(store_id, body))
                case ["vector_stores", _, "search"]:
                    names = ["guide.pdf"] if api.found is None else api.found(body["query"])
                    self._page([_result(name) for name in names])
                case ["chat", "completions"]:
                    api.chats.append(body)
                    said = (api.written or str)(body["messages"][-1]["content"])
                    self._json(_completion(body["model"], said))
                case ["evals"] if any(g["type"] == "python" for g in body["testing_criteria"]):
                    refused = _error("python graders are not run here")
                    refused["error"]["param"] = "testing_criteria[0].type"
                    self._json(refused, 400)
                case ["evals"]:
                    self._json(api.evals.create(body))
                case ["evals", "comparisons"]:
                    self._json(api.evals.compare(body))
                case ["evals", eval_id, "runs"]:
                    self._json(api.evals.start(eval_id, body))
                case ["evals", _, "runs", run_id, "cancel"]:
                    self._json(api.evals.cancel(run_id))
                case ["responses"]:
                    self._stream(api.events(body))
                case _:
                    self._json(_error(f"{self.path} does not exist"), 404)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data

        def _page(self, items: list[Json]) -> None:
            self._json({"object": "list", "data": items, "has_more": False})

        def _json(self, body: Json, status: int = 200) -> None:
            self._send(json.dumps(body).encode(), "application/json", status)

        def _stream(self, events: Iterator[Json]) -> None:
            lines = [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events]
            self._send("".join(lines).encode(), "text/event-stream")

        def _send(self, data: bytes, kind: str, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _belongs(evals: FakeEvals, eval_id: str, run_id: str) -> bool:
    return evals.runs.get(run_id, {}).get("eval_id") == eval_id


def _result(name: str) -> Json:
    found: Json = {"file_id": "file-1", "filename": name, "score": 0.75, "page": 3}
    found["content"] = [{"type": "text", "text": "It listens on port 8000."}]
    return found | {"attributes": {"source": f"handbook/{name}"}}


def _completion(model: str, text: str) -> Json:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    made: Json = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model}
    return made | {"choices": [choice]}


def _uploaded(raw: bytes) -> tuple[str, bytes]:
    boundary = raw.split(b"\r\n", 1)[0]
    for part in raw.split(boundary)[1:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        if name := re.search(rb'filename="([^"]*)"', head):
            return name[1].decode(), data.removesuffix(b"\r\n")
    raise ValueError("no file in the body")


def _error(message: str) -> Json:
    return {"error": {"message": message, "type": "invalid_request_error", "code": None}}
