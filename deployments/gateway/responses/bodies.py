"""The body of `POST /v1/responses`. What is not supported is an error that names the field."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from deployments.gateway.bodies import Body, Metadata, Text
from deployments.gateway.grounding.options import FileSearch
from deployments.storable import Count

__all__ = ["FileSearchTool", "InputItem", "InputMessage", "ResponseCreate", "SearchCallItem"]


class TextPart(BaseModel):
    """A part of a message. An answer that is sent back brings its annotations along."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["input_text", "output_text", "text"]
    text: Text


class InputMessage(BaseModel):
    """A message, short or as an item of an earlier answer's output."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["user", "assistant", "system", "developer"]
    content: Text | list[TextPart]
    type: Literal["message"] = "message"
    id: str | None = None
    status: str | None = None
    phase: str | None = None

    @property
    def text(self) -> str:
        """Its text."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class SearchCallItem(BaseModel):
    """A search of an earlier answer, sent back with its output. It is read over."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["file_search_call"]


InputItem = InputMessage | SearchCallItem


class FileSearchTool(FileSearch):
    """OpenAI's `file_search` tool; the only one there is here."""

    type: Literal["file_search"]

    @model_validator(mode="before")
    @classmethod
    def _known(cls, tool: Any) -> Any:
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind is not None and kind != "file_search":
            raise ValueError(f"Tools of type {kind!r} are not supported; allowed is 'file_search'")
        return tool


class PlainFormat(Body):
    """Text, or any JSON object."""

    type: Literal["text", "json_object"] = "text"


class SchemaFormat(Body):
    """JSON of one schema; the engine's grammar enforces it."""

    type: Literal["json_schema"]
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None
    description: str | None = None


class TextOptions(Body):
    """The answer's form."""

    format: PlainFormat | SchemaFormat = PlainFormat()
    verbosity: Literal["medium"] | None = None


class NamedTool(Body):
    """A tool that must be used."""

    type: Literal["file_search"]


class StreamOptions(Body):
    """OpenAI's options of a stream."""

    include_obfuscation: bool | None = None
    """Read and not acted upon: nothing is obfuscated."""


class ResponseCreate(Body):
    """Ask a model, with `file_search` grounded in the documents of vector stores."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "model": "smollm2-135m-instruct",
                    "input": "How long is parental leave?",
                    "tools": [{"type": "file_search", "vector_store_ids": ["vs_019abc"]}],
                }
            ]
        },
    )
    model: str
    input: (
        Annotated[Text, Field(min_length=1)]
        | Annotated[list[InputItem], Field(min_length=1)]
        | None
    ) = None
    """May be absent where there is a prompt."""
    instructions: Text | None = None
    tools: list[FileSearchTool] = Field(default_factory=list, max_length=1)
    tool_choice: Literal["auto", "required", "none"] | NamedTool = "auto"
    """`none` answers without a search; the others search whenever the tool is given."""
    include: list[Literal["file_search_call.results"]] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    metadata: Metadata | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    max_output_tokens: Count | None = None
    text: TextOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None
    background: Literal[False] | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: Count | None = None
    top_logprobs: Literal[0] | None = None
    service_tier: Literal["auto", "default"] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt: dict[str, Any] | None = None
    """A version of a prompt, and its variables; see `deployments.gateway.prompting`."""

    @property
    def search(self) -> FileSearchTool | None:
        """The search to ground the answer in, where there is one."""
        return self.tools[0] if self.tools and self.tool_choice != "none" else None

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The input as chat messages."""
        if isinstance(self.input, str):
            return [{"role": "user", "content": self.input}]
        return [
            {"role": "system" if m.role == "developer" else m.role, "content": m.text}
            for m in self.input or ()
            if isinstance(m, InputMessage)
        ]

    def rewritten(self, messages: list[dict[str, Any]], prompt: Any) -> "ResponseCreate":
        """The same, saying `messages` in place of its own, and `prompt`; itself where all is so."""
        if messages == self.messages and prompt == self.prompt:
            return self
        left = iter(messages)
        said: Any = self.input
        if isinstance(said, str):
            said = next(left)["content"]
        elif said is not None:
            said = [
                item.model_copy(update={"content": next(left)["content"]})
                if isinstance(item, InputMessage)
                else item
                for item in said
            ]
        return self.model_copy(update={"input": said, "prompt": prompt})

    @property
    def options(self) -> dict[str, Any]:
        """What goes to the model, under the names of a chat body."""
        chosen: dict[str, Any] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_output_tokens,
            "response_format": self._response_format(),
        }
        return {name: value for name, value in chosen.items() if value is not None}

    def _response_format(self) -> dict[str, Any] | None:
        chosen = self.text.format if self.text else PlainFormat()
        if isinstance(chosen, SchemaFormat):
            schema = chosen.model_dump(by_alias=True, exclude_none=True, exclude={"type"})
            return {"type": "json_schema", "json_schema": schema}
        return None if chosen.type == "text" else {"type": chosen.type}
