"""The four calls over HTTP. The bodies are vLLM's, as tests/end_to_end/test_gate.py meets them."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cluster.errors import ApiError, UnreachableError
from tests.fixtures.system import free_port
from training.errors import GateError
from training.gate import HttpService

ASK = [{"role": "user", "content": "Capital of France?"}]
USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


@dataclass
class Api:
    """What was asked, and what is refused before it is answered."""

    url: str = ""
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    refusals: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    tells: bool = True

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        about = {"id": "1", "created": 1, "model": body["model"], "usage": USAGE}
        if path == "/v1/chat/completions":
            message = {"role": "assistant", "content": "Paris."}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            ids = [1, 2, 3] if self.tells and body.get("return_token_ids") else None
            return {**about, "object": "chat.completion", "choices": [choice]} | {
                "prompt_token_ids": ids
            }
        told = [None] + [
            {str(token): {"logprob": -token / 2, "rank": 1, "decoded_token": "x"}}
            for token in body["prompt"][1:]
        ]
        choice = {"index": 0, "finish_reason": "length", "text": " Paris", "logprobs": None}
        wanted = self.tells and "prompt_logprobs" in body
        choice["prompt_logprobs"] = told if wanted else None
        return {**about, "object": "text_completion", "choices": [choice]}


@pytest.fixture
def api() -> Iterator[Api]:
    state = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state.asked.append((self.path, body))
            state.keys.append(self.headers["authorization"])
            if state.refusals:
                status, headers = state.refusals.pop(0)
                found: dict[str, Any] = {"error": {"message": "refused", "type": "x", "code": "x"}}
            else:
                status, headers, found = 200, {}, state.answer(self.path, body)
            content = json.dumps(found).encode()
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_answer_is_asked_for_greedily(api: Api) -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    answer = HttpService(api.url).chat("banking", ASK, [tool], max_tokens=9, seed=3)
    assert (answer.text, answer.tokens, answer.cut) == ("Paris.", 3, False)
    assert 0 < answer.seconds < 5
    assert api.asked == [
        (
            "/v1/chat/completions",
            {
                "model": "banking",
                "messages": ASK,
                "tools": [tool],
                "temperature": 0,
                "seed": 3,
                "max_tokens": 9,
            },
        )
    ]


def test_questions_about_documents_name_their_stores(api: Api) -> None:
    search = {"vector_store_ids": ["vs_1"]}
    HttpService(api.url, more={"file_search": search}).chat(
        "banking", ASK, (), max_tokens=9, seed=3
    )
    assert api.asked[0][1]["file_search"] == search


def test_a_text_is_continued_from_its_tokens(api: Api) -> None:
    answer = HttpService(api.url).complete("banking", (1, 2), max_tokens=9, seed=3)
    assert (answer.text, answer.cut) == (" Paris", True)
    assert api.asked[0][1]["prompt"] == [1, 2]


def test_tokens_and_log_probabilities_are_told(api: Api) -> None:
    service = HttpService(api.url)
    assert service.rendered("banking", ASK, ()) == (1, 2, 3)
    assert service.log_probabilities("banking", (7, 8, 4, 6), 2) == (-2.0, -3.0)
    assert api.asked[-1][1]["prompt"] == [7, 8, 4, 6]


def test_a_service_that_does_not_tell_them_is_refused(api: Api) -> None:
    api.tells = False
    service = HttpService(api.url)
    with pytest.raises(GateError, match="does not tell the tokens"):
        service.rendered("banking", ASK, ())
    with pytest.raises(GateError, match="does not tell the log-probabilities"):
        service.log_probabilities("banking", (7, 8), 1)


def test_a_full_service_is_asked_again_and_the_wait_is_no_latency(api: Api) -> None:
    api.refusals = [(429, {"retry-after": "0.6"}), (503, {"retry-after": "0.6"})]
    answer = HttpService(api.url).chat("banking", ASK, (), max_tokens=9, seed=3)
    assert len(api.asked) == 3
    assert answer.seconds < 0.5


def test_retries_have_a_bound(api: Api) -> None:
    api.refusals = [(503, {"retry-after": "0.01"})] * 9
    with pytest.raises(ApiError) as caught:
        HttpService(api.url, retries=2).chat("banking", ASK, (), max_tokens=9, seed=3)
    assert caught.value.status == 503
    assert len(api.asked) == 3


def test_an_unknown_model_is_not_asked_for_again(api: Api) -> None:
    api.refusals = [(404, {})]
    with pytest.raises(ApiError) as caught:
        HttpService(api.url).log_probabilities("nothing", (7, 8), 1)
    assert caught.value.status == 404
    assert len(api.asked) == 1


def test_the_key_is_sent(api: Api) -> None:
    HttpService(api.url, "secret").chat("banking", ASK, (), max_tokens=9, seed=3)
    assert api.keys == ["Bearer secret"]


def test_nobody_there_is_said() -> None:
    service = HttpService(f"http://127.0.0.1:{free_port()}/v1", retries=0)
    with pytest.raises(UnreachableError):
        service.chat("banking", ASK, (), max_tokens=9, seed=3)
