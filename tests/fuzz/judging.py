"""What no answer may be: a failure of the server, a hang, a leak, an error without its body."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.fuzz.attempts import Answer, Attempt
from tests.fuzz.leaks import leaked

__all__ = ["Fault", "Judge"]

_PAGES_OF_OURS: Final = ("/openapi.json", "/docs", "/metrics")
"""They name our paths, being about them."""
_ERROR_FIELDS: Final = {"message", "type", "param", "code"}


@dataclass(frozen=True, slots=True)
class Fault:
    """An answer that must not be, and the request that brought it about."""

    kind: str
    detail: str
    attempt: Attempt
    status: int

    def __str__(self) -> str:
        said = self.attempt
        return (
            f"{self.kind}: {self.detail}\n    {said.origin}\n    {said.method} "
            f"{said.target[:300]!r} {[pair for pair in said.headers if len(pair[1]) < 200]}\n"
            f"    body {said.body[:400]!r}"
        )


class Judge:
    """Tells what is wrong with an answer."""

    def __init__(
        self,
        document: Mapping[str, Any],
        *,
        slow_s: float,
        secrets: tuple[str, ...],
        behind_server: bool = False,
    ) -> None:
        self._slow_s = slow_s
        self._behind_server = behind_server
        """Whether an HTTP server stands in front: it refuses what is no HTTP in its own words."""
        self._secrets = secrets
        """Texts that no answer may hold, such as the folder of the data."""
        self._documented = {
            f"{method.upper()} {path}": set(operation["responses"])
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        }

    def faults(self, attempt: Attempt, answer: Answer) -> list[Fault]:
        """Everything that is wrong."""
        if self._behind_server and not attempt.is_http and answer.status in {0, 400}:
            return []
        found: list[tuple[str, str]] = []
        text = answer.body.decode("utf-8", errors="replace")
        unready = _is_unready(attempt, answer)
        if answer.crash == "hang" or answer.seconds > self._slow_s:
            found.append(("hang", f"{answer.seconds:.1f} s"))
        elif answer.crash:
            found.append(("crash", answer.crash))
        if answer.status >= 500 and not _asked_for(attempt, answer) and not unready:
            found.append(("5xx", f"{answer.status} {text[:300]}"))
        if answer.status == 0 and not (attempt.cut or answer.crash):
            found.append(("silence", "no status line"))
        if (
            answer.status >= 400
            and not unready
            and attempt.method != "HEAD"
            and (said := _no_error(answer))
        ):
            found.append(("no error body", f"{answer.status} {said}: {text[:200]}"))
        if not attempt.target.partition(b"?")[0].decode("ascii").startswith(_PAGES_OF_OURS):
            found += self._leaks(attempt, text)
        if undocumented := self._undocumented(attempt, answer.status):
            found.append(("undocumented status", undocumented))
        return [Fault(kind, detail, attempt, answer.status) for kind, detail in found]

    def _leaks(self, attempt: Attempt, text: str) -> list[tuple[str, str]]:
        told = leaked(text, attempt.target + attempt.body)
        told += [f"secret {one!r}" for one in self._secrets if one in text]
        return [("leak", one) for one in told]

    def _undocumented(self, attempt: Attempt, status: int) -> str:
        """Only of requests that went to the operation they were made for."""
        told = self._documented.get(attempt.origin.partition(" | ")[0])
        if told is None or status == 0 or " | " in attempt.origin:
            return ""
        family = f"{status // 100}XX"
        return "" if str(status) in told or family in told else f"{status}, not in {sorted(told)}"


def _is_unready(attempt: Attempt, answer: Answer) -> bool:
    """To say that a part does not answer is what this route is for, on a busy machine too."""
    return answer.status == 503 and attempt.target.startswith(b"/readyz")


def _asked_for(attempt: Attempt, answer: Answer) -> bool:
    """A client that gives a moment only gets the 504 that it asked for."""
    return answer.status == 504 and bool(attempt.header(b"x-request-timeout"))


def _no_error(answer: Answer) -> str:
    """What keeps the body from being OpenAI's error body; nothing where it is one."""
    if answer.kind != "application/json":
        return f"content type {answer.kind!r}"
    try:
        error = json.loads(answer.body)["error"]
    except (ValueError, KeyError, TypeError):
        return "no `error`"
    if not isinstance(error, dict) or not set(error) >= _ERROR_FIELDS or not error["message"]:
        return "`error` lacks fields"
    return ""
