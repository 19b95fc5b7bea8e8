"""Judges that say what a test tells them, in memory or over HTTP, in OpenAI's shapes."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from deployments.evaluation.cases import Case
from tests.fakes.http_server import serving

__all__ = [
    "JudgeApi",
    "MemoryVerdicts",
    "Reply",
    "Say",
    "ScriptedJudge",
    "filled",
    "running_judge_api",
]

Json = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """An answer, token by token; each with what could have stood there and how probable it was."""

    tokens: Sequence[str]
    tops: Sequence[Mapping[str, float]] = ()
    finish_reason: str = "stop"

    def body(self, model: str, logprobs: bool) -> Json:
        content = "".join(self.tokens)
        choice: Json = {"index": 0, "finish_reason": self.finish_reason, "logprobs": None}
        choice["message"] = {"role": "assistant", "content": content}
        if logprobs and self.tops:
            told = [
                {
                    "token": token,
                    "logprob": math.log(top[token]),
                    "top_logprobs": [
                        {"token": other, "logprob": math.log(chance)}
                        for other, chance in top.items()
                    ],
                }
                for token, top in zip(self.tokens, self.tops, strict=True)
            ]
            choice["logprobs"] = {"content": told}
        return {"object": "chat.completion", "id": "chatcmpl-1", "created": 1} | {
            "model": model,
            "choices": [choice],
        }


Say = Callable[[Mapping[str, Any]], str | Reply]


@dataclass
class ScriptedJudge:
    """A ChatCaller that answers by `say`, which may raise."""

    say: Say
    model: str = "judge-1"
    """What it calls itself."""
    bodies: list[Mapping[str, Any]] = field(default_factory=list)

    async def chat(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self.bodies.append(body)
        return _reply(self.say(body)).body(self.model, bool(body.get("logprobs")))


@dataclass
class MemoryVerdicts:
    """A VerdictCache that goes through JSON, as a database's does."""

    kept: dict[str, str] = field(default_factory=dict)

    async def get(self, key: str) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = json.loads(self.kept.get(key, "null"))
        return found

    async def put(self, key: str, value: Mapping[str, Any]) -> None:
        self.kept[key] = json.dumps(value)


def filled(template: str, case: Case) -> str:
    """Fills `{{item.NAME}}` and `{{sample.output_text}}`, which is all that tests of judges use."""
    text = re.sub(r"\{\{item\.(\w+)\}\}", lambda found: str(case.item[found[1]]), template)
    answer = case.sample.output_text if case.sample else ""
    return text.replace("{{sample.output_text}}", answer)


@dataclass
class JudgeApi:
    """A judge on loopback. It refuses the first `refusals` calls with 429."""

    say: Say
    refusals: int = 0
    url: str = ""
    bodies: list[Json] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def running_judge_api(say: Say, refusals: int = 0) -> Iterator[JudgeApi]:
    """Serve `/v1/chat/completions` on a free loopback port while the block runs."""
    api = JudgeApi(say, refusals)
    with serving(_handler(api)) as api.url:
        yield api


def _handler(api: JudgeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            api.headers.append({name.lower(): value for name, value in self.headers.items()})
            api.bodies.append(body)
            if len(api.bodies) <= api.refusals:
                self._send(429, {"error": {"message": "busy", "type": "rate_limit_error"}})
            elif self.path != "/v1/chat/completions":
                self._send(404, {"error": {"message": f"{self.path} does not exist"}})
            else:
                reply = _reply(api.say(body))
                self._send(200, reply.body(body["model"], bool(body.get("logprobs"))))

        def _send(self, status: int, body: Json) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if status == 429:
                self.send_header("Retry-After", "0.01")
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _reply(said: str | Reply) -> Reply:
    return Reply([said]) if isinstance(said, str) else said
