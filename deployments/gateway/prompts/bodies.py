"""What the prompt registry's routes read."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from deployments.gateway.bodies import Body, Metadata, Text, tree
from deployments.prompts.body import PromptBody
from deployments.prompts.exchange.formats import Import
from deployments.prompts.labels import LabelName
from deployments.prompts.sandbox import MAX_VALUE
from deployments.storable import MAX_COUNT

__all__ = [
    "Imported",
    "LabelRollback",
    "LabelSet",
    "PromptCreate",
    "PromptUpdate",
    "Rendering",
    "VersionCreate",
]

Name = Annotated[Text, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Description = Annotated[Text, Field(max_length=4096)]
Reason = Annotated[Text, Field(min_length=1, max_length=1000)]
Version = Annotated[Text, Field(min_length=1, max_length=64)]


class VersionCreate(PromptBody):
    """Make a version; the same body again gives the version that there is."""

    comment: Reason | None = None
    """Why it is made."""
    label: LabelName | None = None
    """A label that is to stand at it."""

    @property
    def body(self) -> PromptBody:
        """What the version says."""
        said = self.model_dump(exclude={"comment", "label"}, exclude_unset=True)
        return PromptBody.model_validate(said)


class PromptCreate(Body):
    """Make a prompt with its first version."""

    name: Name
    description: Description = ""
    metadata: Metadata = Field(default_factory=dict)
    version: VersionCreate


class PromptUpdate(Body):
    """Change what is told about a prompt; what it says is in its versions."""

    description: Description | None = None
    metadata: Metadata | None = None


class LabelSet(Body):
    """Let a label stand at a version."""

    version: Version
    """Number, digest, another label or `latest`."""
    expected: int | None = Field(default=None, ge=0, le=MAX_COUNT)
    """The number that it must stand at now, 0 for a label that must be new; else it is a 409."""
    reason: Reason | None = None


class LabelRollback(Body):
    """Take moves of a label back."""

    steps: int = Field(default=1, ge=1, le=100)
    reason: Reason | None = None


class Rendering(Body):
    """Render a version without asking a model."""

    version: Version | None = None
    """Number, label, digest or `latest`; by default as a reference without a version."""
    variables: Annotated[dict[str, Any], AfterValidator(tree)] = Field(
        default_factory=dict, max_length=64
    )
    """Of a chain: with the outputs of its steps by their names."""
    model: Annotated[Text, Field(max_length=256)] | None = None
    """Whose tokens are counted; by default the first model's."""


class Imported(Body):
    """Make a version of a text in another format, and the prompt where there is none."""

    name: Name | None = None
    """By default the one that the text says."""
    content: Annotated[Text, Field(min_length=1, max_length=MAX_VALUE)]
    format: Import = "auto"
    filename: Annotated[Text, Field(max_length=256)] = ""
    """Tells the format where the content does not."""
    comment: Reason | None = None
    label: LabelName | None = None
