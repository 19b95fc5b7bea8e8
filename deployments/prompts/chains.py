"""Chains: what a version with steps may call, pinned when it is made.

A step names a version that there is already, and keeps its digest: no chain can come to call
itself, and none changes when a label of a prompt that it calls moves.
"""

from typing import Final

from sqlalchemy.orm import Session

from deployments.errors import InvalidRequest
from deployments.prompts.body import PromptBody, Step
from deployments.prompts.library import PromptLibrary
from deployments.prompts.prompt import Prompt
from deployments.prompts.versions import find_version, split_reference

__all__ = ["MAX_CALLS", "MAX_DEPTH", "pin_steps"]

MAX_DEPTH: Final = 3
"""Prompts that call one another; one without steps counts 1."""
MAX_CALLS: Final = 16
"""Model calls of one request, the answer's own among them."""


def pin_steps(session: Session, library: PromptLibrary, body: PromptBody) -> PromptBody:
    """`body` with each step's prompt as `name@digest`.

    Raises InvalidRequest, which names the step, for a prompt that there is not, a variable that it
    does not have or that it misses, and chains that are too deep or call too often.
    """
    if not body.steps:
        return body
    pinned: list[Step] = []
    calls, depth = 1, 1
    for number, step in enumerate(body.steps):
        place = f"steps.{number}"
        called = _find(session, library, step.prompt, f"{place}.prompt")
        _check_variables(called, step, place)
        below_calls, below_depth = _extent(session, library, called.body)
        calls += below_calls
        depth = max(depth, below_depth + 1)
        pinned.append(step.model_copy(update={"prompt": called.version}))
    for found, allowed, what in (
        (depth, MAX_DEPTH, "prompts deep"),
        (calls, MAX_CALLS, "model calls long"),
    ):
        if found > allowed:
            raise InvalidRequest(
                f"The chain is {found} {what}; allowed are {allowed}.",
                param="steps",
                code="chain_too_long",
            )
    return body.model_copy(update={"steps": tuple(pinned)})


def _extent(session: Session, library: PromptLibrary, body: PromptBody) -> tuple[int, int]:
    """Model calls of a version, and how deep it goes."""
    below = [
        _extent(session, library, _find(session, library, step.prompt, "steps").body)
        for step in body.steps
    ]
    return 1 + sum(calls for calls, _ in below), 1 + max((deep for _, deep in below), default=0)


def _find(session: Session, library: PromptLibrary, reference: str, place: str) -> Prompt:
    name, version = split_reference(reference)
    row = find_version(session, name, version)
    if row is not None:
        return Prompt(row.name, PromptBody.model_validate(row.body), row.digest)
    if name in library.names():
        packaged = library.get(name)
        if version is None or packaged.version == reference:
            return packaged
    raise InvalidRequest(
        f"{place} is {reference!r}; there is no such version of a prompt.",
        param=place,
        code="prompt_not_found",
    )


def _check_variables(called: Prompt, step: Step, place: str) -> None:
    declared = called.body.variables
    missing = [n for n, v in declared.items() if v.needed and n not in step.variables]
    unknown = [name for name in step.variables if name not in declared]
    for names, what in ((missing, "misses"), (unknown, "gives what it does not have:")):
        if names:
            raise InvalidRequest(
                f"{place} calls {called.version} and {what} {', '.join(names)}.",
                param=f"{place}.variables.{names[0]}",
                code="invalid_prompt_variable",
            )
