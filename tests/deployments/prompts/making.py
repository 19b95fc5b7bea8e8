"""Prompts in the records, for tests."""

from typing import Any

from cluster.database import Database
from deployments.prompts.body import PromptBody
from deployments.prompts.chains import pin_steps
from deployments.prompts.labels import LabelMove, move_label
from deployments.prompts.library import PromptLibrary
from deployments.prompts.versions import add_version, create_prompt, find_prompt

__all__ = ["make_version", "user_says"]


def user_says(content: str, **more: Any) -> dict[str, Any]:
    """A body with one user message."""
    return {"messages": [{"role": "user", "content": content}], **more}


async def make_version(
    database: Database, name: str, body: dict[str, Any], label: str | None = None
) -> str:
    """Make a version, and the prompt where there is none; returns its digest."""

    def make(session: Any) -> str:
        record = find_prompt(session, name) or create_prompt(session, name, "", {})
        said = pin_steps(session, PromptLibrary(), PromptBody.model_validate(body))
        version, _ = add_version(session, record, said, None)
        if label is not None:
            session.flush()
            move_label(session, record, LabelMove(label, version.number))
        return version.digest

    return await database.run(make)
