"""Which tokens the events of a stream tell, read from their bytes.

Every stream is generated with the token ids in its events, so that another replica can go on behind
them; a client that did not ask for them never sees them. The patterns match fields only: within a
JSON string a quotation mark is escaped.
"""

import re
from typing import Final

from deployments.model.messages import ModelCall, Part, Usage

__all__ = ["TokenReader", "tells_tokens", "token_ids", "with_created"]

_TOKENS: Final = re.compile(rb',"token_ids":\[([0-9,]*)\]')
_PROMPT_TOKENS: Final = re.compile(rb',"prompt_token_ids":\[[0-9,]*\]')
_CREATED: Final = re.compile(rb'"created":([0-9]+)')
_FINISHED: Final = re.compile(rb'"finish_reason":"')


def tells_tokens(events: bytes) -> bool:
    """Whether `events` say which tokens they hold, were it none."""
    return _TOKENS.search(events) is not None


def token_ids(events: bytes) -> tuple[int, ...]:
    """The tokens of the answer in `events`, in order."""
    return tuple(
        int(number) for found in _TOKENS.findall(events) if found for number in found.split(b",")
    )


def with_created(event: bytes, created: int) -> bytes:
    """`event` with the time of another one."""
    return _CREATED.sub(b'"created":%d' % created, event, count=1)


class TokenReader:
    """Makes the parts of one stream."""

    def __init__(self, call: ModelCall) -> None:
        self._asked = bool(call.body.get("return_token_ids"))
        self._created = call.resume.created if call.resume is not None else None

    def part(self, events: bytes, usage: Usage | None) -> Part:
        """Return a message's events as the client may see them, beside what they tell."""
        if self._created is None and (found := _CREATED.search(events)):
            self._created = int(found[1])
        told = token_ids(events)
        finished = _FINISHED.search(events) is not None
        if not self._asked:
            events = _PROMPT_TOKENS.sub(b"", _TOKENS.sub(b"", events))
        return Part(events, usage, told, self._created, finished)
