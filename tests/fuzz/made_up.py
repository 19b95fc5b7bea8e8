"""Requests made up from the OpenAPI document: by schemathesis, and from the examples in it."""

import contextlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final
from zlib import crc32

from tests.fuzz.attempts import Attempt
from tests.fuzz.known import Known

__all__ = ["Operation", "operations"]

_UNWRITTEN: Final[Mapping[str, tuple[dict[str, Any], ...]]] = {
    "POST /v1/chat/completions": (
        {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "Hi"}],
         "stream": True, "max_tokens": 5, "temperature": 0.5, "stop": ["x"], "n": 1,
         "metadata": {"a": "b"}, "user": "u"},
        {"model": "smollm2-135m-instruct",
         "messages": [{"role": "user", "content": [{"type": "text", "text": "blue?"}]}],
         "tools": [{"type": "file_search", "vector_store_ids": ["vs_1"], "max_num_results": 3}],
         "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}},
        {"model": "assistant", "messages": [{"role": "system", "content": "Be kind"}],
         "prompt": {"id": "polite", "version": "latest", "variables": {"a": "b"}}},
    ),
    "POST /v1/completions": (
        {"model": "smollm2-135m-instruct", "prompt": "Once", "max_tokens": 5, "stream": False},
        {"model": "smollm2-135m-instruct", "prompt": ["a", "b"], "logprobs": 2, "echo": True},
    ),
    "POST /v1/responses": (
        {"model": "smollm2-135m-instruct", "input": "Hi", "store": True, "metadata": {"a": "b"}},
        {"model": "smollm2-135m-instruct",
         "input": [{"role": "user", "content": [{"type": "input_text", "text": "blue?"}]}],
         "tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}],
         "include": ["file_search_call.results"], "stream": True},
    ),
    "POST /v1/vector_stores/{vector_store_id}/search": (
        {"query": "leave", "filters": {"type": "and", "filters": [
            {"type": "eq", "key": "a", "value": 1}]}, "max_num_results": 5,
         "ranking_options": {"score_threshold": 0.1}},
    ),
    "POST /v1/fine_tuning/alpha/graders/run": (
        {"grader": {"type": "string_check", "name": "a", "operation": "eq",
                    "input": "{{sample.output_text}}", "reference": "{{item.answer}}"},
         "item": {"answer": "x"}, "model_sample": "x"},
        {"grader": {"type": "metric", "name": "m", "metric": "regex_match"},
         "item": {"reference": "(a+)+$"}, "model_sample": "a" * 40},
    ),
    "POST /v1/prompts/{name}/render": ({"variables": {"question": "a"}},),
    "POST /v1/prompts": (
        {"name": "fresh", "version": {"messages": [{"role": "user", "content": "{{ word }}"}],
                                      "variables": {"word": {"type": "string"}}}},
    ),
    "POST /v1/prompts/{name}/versions": (
        {"messages": [{"role": "system", "content": "{% for a in b %}{{ a }}{% endfor %}"}],
         "variables": {"b": {"type": "array"}}, "parameters": {"temperature": 0.1}},
    ),
    "POST /v1/experiments": (
        {"alias": "helper", "arms": [{"name": "a"}, {"name": "b", "prompt": "polite"}],
         "settings": {"metric": {"name": "trace:empty", "wait_s": 1.0}}, "start": True},
    ),
}  # fmt: skip
"""Bodies of routes that read them unparsed, and of others that need a full one."""
_FORMS: Final = (
    b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n%b\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n%b\r\n--b--\r\n'
)
_PLANTED: Final = 0.7
_DRAWN: Final = 32
"""Requests that are drawn at once, in the schema and against it."""


class Operation:
    """A method of a path, and requests for it without end."""

    def __init__(
        self,
        method: str,
        path: str,
        body: Any,
        examples: list[dict[str, Any]],
        cases: Callable[..., Any] | None,
    ) -> None:
        self.name = f"{method} {path}"
        self.weight = 3 if body or examples else 1
        self._method, self._path = method, path
        self._examples = examples
        self._cases = cases
        self._drawn: list[Attempt] = []

    def attempts(self, count: int, chance: random.Random, known: Known) -> list[Attempt]:
        """`count` requests, some with ids that exist."""
        made = [self._of_example(chance) for _ in range(count // 2 if self._examples else 0)]
        if self.name == "POST /v1/files":
            made += [self._form(chance) for _ in range(count // 2)]
        while len(made) < count:
            if not self._drawn:
                self._draw(chance.randrange(2**32))
            made.append(self._drawn.pop())
        return [self._planted(one, chance, known) for one in made]

    def _draw(self, seed: int) -> None:
        """Let schemathesis make requests, half of them against the schema."""
        import hypothesis
        from hypothesis import HealthCheck, Phase
        from schemathesis import GenerationMode

        def keep(case: Any) -> None:
            if (attempt := _attempt(self.name, self._path, case)) is not None:
                self._drawn.append(attempt)

        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        for mode in modes if self._cases is not None else ():
            assert self._cases is not None
            given: Any = hypothesis.given(self._cases(generation_mode=mode))
            test: Any = hypothesis.settings(
                max_examples=_DRAWN,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(given(keep))
            with contextlib.suppress(hypothesis.errors.Unsatisfiable):
                hypothesis.seed(seed)(test)()  # nothing is against a schema without parameters
        random.Random(seed).shuffle(self._drawn)
        if not self._drawn:
            self._drawn = [Attempt(self.name, self._method, self._path.encode())]

    def _of_example(self, chance: random.Random) -> Attempt:
        return Attempt(self.name, self._method, self._path.encode()).with_header(
            b"content-type", b"application/json"
        ).with_body(json.dumps(chance.choice(self._examples)).encode())  # fmt: skip

    def _form(self, chance: random.Random) -> Attempt:
        purpose, name, data = chance.choice((
            (b"user_data", b"notes.txt", b"The sky is blue."),
            (b"fine-tune", b"rows.jsonl", b'{"messages":[{"role":"user","content":"a"},'
             b'{"role":"assistant","content":"b"}]}\n' * 12),
            (b"evals", b"items.jsonl", b'{"item":{"question":"a","answer":"b"}}\n' * 3),
            (b"fine-tune", b"rows.csv", b"prompt,completion\n=1+1,b\n"),
            (b"assistants", b"=cmd.csv", b"a,b\n1,2\n"),
        ))  # fmt: skip
        attempt = Attempt(self.name, self._method, self._path.encode())
        return attempt.with_header(b"content-type", b"multipart/form-data; boundary=b").with_body(
            _FORMS % (purpose, name, data)
        )

    def _planted(self, attempt: Attempt, chance: random.Random, known: Known) -> Attempt:
        """Put ids that exist in the path and in the fields of the body that take one."""
        path, mark, query = attempt.target.partition(b"?")
        shape = self._path.split("/")
        parts = path.split(b"/")
        for place, name in enumerate(shape):
            if not name.startswith("{") or place >= len(parts):
                continue
            given = parts[place].startswith(b"{")
            if given or chance.random() < _PLANTED:
                parts[place] = (known.pick(name.strip("{}")) or "none").encode()
        attempt = replace(attempt, target=b"/".join(parts) + mark + query)
        if attempt.header(b"content-type") == b"application/json":
            try:
                tree = json.loads(attempt.body)
            except ValueError:
                return attempt
            body = json.dumps(_with_ids(tree, chance, known)).encode()
            attempt = attempt.with_body(body)
        return attempt


def operations(document: Mapping[str, Any], drawn_share: float = 1.0) -> Iterator[Operation]:
    """Every operation of the document. Schemathesis is asked for the share of them given.

    It takes half a second to understand an operation; for the others their examples serve.
    """
    import schemathesis

    schema = schemathesis.openapi.from_dict(dict(document))
    for result in schema.get_all_operations():
        found: Any = result.ok()  # type: ignore[union-attr]  # our document has no broken schema
        method, path = found.method.upper(), found.path
        said = document["paths"][path][found.method]
        content = said.get("requestBody", {}).get("content", {})
        examples = list(_UNWRITTEN.get(f"{method} {path}", ()))
        examples += _examples(content.get("application/json", {}).get("schema", {}), document)
        drawn = crc32(f"{method} {path}".encode()) % 1000 < drawn_share * 1000
        cases = found.as_strategy if drawn else None
        yield Operation(method, path, content, examples, cases)


def _examples(schema: Mapping[str, Any], document: Mapping[str, Any]) -> list[dict[str, Any]]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found = document["components"]["schemas"].get(name, schema)
    return [one for one in found.get("examples", ()) if isinstance(one, dict)]


def _attempt(name: str, path: str, case: Any) -> Attempt | None:
    """The bytes of a schemathesis case; None where no client could send it."""
    import requests

    given = case.as_transport_kwargs(base_url="http://everloop")
    wanted = ("method", "url", "headers", "params", "json", "data", "files")
    try:
        made = requests.Request(**{key: given[key] for key in wanted if key in given}).prepare()
    except (requests.RequestException, UnicodeError, ValueError):
        return None
    body = made.body or b""
    if isinstance(body, str):
        body = body.encode()
    if not isinstance(body, bytes):
        return None
    headers = [
        (key.lower().encode("latin-1"), str(value).encode("latin-1", errors="replace"))
        for key, value in made.headers.items()
        if key.lower() not in _OF_THE_CLIENT
    ]
    if len(made.path_url.split("?")[0].split("/")) != len(path.split("/")):
        return None
    return Attempt(
        name, str(made.method), made.path_url.encode("ascii", errors="replace"), tuple(headers),
        (body,) if body else (),
    )  # fmt: skip


_OF_THE_CLIENT: Final = frozenset({"user-agent", "x-schemathesis-testcaseid", "connection"})


def _with_ids(value: Any, chance: random.Random, known: Known, field: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _with_ids(inner, chance, known, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_ids(inner, chance, known, field) for inner in value]
    if isinstance(value, str) and field and chance.random() < _PLANTED:
        return known.pick(field) or value
    return value
