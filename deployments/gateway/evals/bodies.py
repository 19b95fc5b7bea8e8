"""What makes evals, runs and comparisons: OpenAI's bodies, and our additions to them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from deployments.evaluation.graders.specs import Message
from deployments.gateway.bodies import Body, FileId, Metadata, Text, tree
from deployments.storable import Count, Moment

__all__ = [
    "ComparisonCreate",
    "Completions",
    "DataSource",
    "EvalCreate",
    "EvalUpdate",
    "FileContent",
    "FileSource",
    "GraderRun",
    "GraderValidate",
    "Jsonl",
    "Responses",
    "RunCreate",
    "StoredCompletions",
    "StoredResponses",
]

Tree = Annotated[dict[str, Any], AfterValidator(tree)]
Name = Annotated[Text, Field(max_length=256)]
ModelName = Annotated[Text, Field(min_length=1, max_length=256)]


class CustomConfig(Body):
    """Data of a form of its own."""

    type: Literal["custom"]
    item_schema: Tree
    """A JSON schema of one item."""
    include_sample_schema: bool = False
    """Whether the runs ask a model, so that graders may name `sample`."""


class LogsConfig(Body):
    """Answers that were given by `/v1/responses`."""

    type: Literal["logs"]
    metadata: Tree | None = None
    """Only answers whose request had these."""


class StoredCompletionsConfig(Body):
    """Answers that were given by `/v1/chat/completions`."""

    type: Literal["stored_completions"]
    metadata: Tree | None = None
    """Only answers whose request had these."""


class EvalCreate(Body):
    """Create an eval."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "capitals",
                    "data_source_config": {
                        "type": "custom",
                        "item_schema": {
                            "type": "object",
                            "properties": {
                                "question": {"type": "string"},
                                "answer": {"type": "string"},
                            },
                            "required": ["question", "answer"],
                        },
                        "include_sample_schema": True,
                    },
                    "testing_criteria": [
                        {
                            "type": "string_check",
                            "name": "names it",
                            "input": "{{sample.output_text}}",
                            "reference": "{{item.answer}}",
                            "operation": "ilike",
                        }
                    ],
                }
            ]
        }
    )
    name: Name | None = None
    data_source_config: Annotated[
        CustomConfig | LogsConfig | StoredCompletionsConfig, Field(discriminator="type")
    ]
    testing_criteria: Annotated[list[Tree], Field(min_length=1)]
    """Graders; `graders/specs.py` says what each takes."""
    metadata: Metadata | None = None


class EvalUpdate(Body):
    """Change an eval; what is absent stays."""

    name: Name | None = None
    metadata: Metadata | None = None


class ContentRow(Body):
    """An item, and its answer where it has one."""

    item: Tree
    sample: Tree | None = None


class FileContent(Body):
    """Items in the request itself."""

    type: Literal["file_content"]
    content: Annotated[list[ContentRow], Field(min_length=1)]


class FileSource(Body):
    """Items in an uploaded file: JSON Lines, each line with `item` and perhaps `sample`."""

    type: Literal["file_id"]
    id: FileId


class StoredCompletions(Body):
    """Answers that were given by `/v1/chat/completions`, from their traces, newest first."""

    type: Literal["stored_completions"]
    created_after: Moment | None = None
    created_before: Moment | None = None
    limit: Count | None = None
    metadata: Tree | None = None
    model: ModelName | None = None


class StoredResponses(Body):
    """Answers that were given by `/v1/responses`, from their traces, newest first."""

    type: Literal["responses"]
    created_after: Moment | None = None
    created_before: Moment | None = None
    limit: Count | None = None
    """Ours, as of stored completions."""
    metadata: Tree | None = None
    model: ModelName | None = None
    instructions_search: None = None
    reasoning_effort: None = None
    temperature: None = None
    tools: None = None
    top_p: None = None
    users: None = None


class TemplateMessages(Body):
    """Messages whose contents are templates over `item`."""

    type: Literal["template"]
    template: Annotated[list[Message], Field(min_length=1, max_length=64)]


class ReferencedMessages(Body):
    """A field of the item that holds the messages, or a question."""

    type: Literal["item_reference"]
    item_reference: Annotated[
        str, Field(pattern=r"^\s*(\{\{)?\s*item\.[^{}]+(\}\})?\s*$", max_length=256)
    ]


InputMessages = Annotated[TemplateMessages | ReferencedMessages, Field(discriminator="type")]


class CompletionsSampling(Body):
    """How a chat model is asked. What stands after `tools` is ours."""

    max_completion_tokens: Count | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    reasoning_effort: str | None = None
    response_format: Tree | None = None
    tools: Annotated[list[Tree], Field(max_length=128)] | None = None
    stop: Annotated[list[str], Field(max_length=4)] | str | None = None
    logprobs: bool | None = None
    """Ask for the probabilities of the answer's tokens, which perplexity needs."""
    file_search: Tree | None = None
    """As in a body of `/v1/chat/completions`."""


class ResponsesSampling(Body):
    """How `/v1/responses` is asked. `instructions` is ours."""

    max_completion_tokens: Count | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    text: Tree | None = None
    tools: Annotated[list[Tree], Field(max_length=8)] | None = None
    """`file_search`: then answers come with passages and citations."""
    instructions: Text | None = None


class Jsonl(Body):
    """Items that bring their answers along, or need none."""

    type: Literal["jsonl"]
    source: Annotated[FileContent | FileSource, Field(discriminator="type")]


class Completions(Body):
    """Answers asked of a chat model, or stored ones where no `model` is named."""

    type: Literal["completions"]
    source: Annotated[FileContent | FileSource | StoredCompletions, Field(discriminator="type")]
    model: ModelName | None = None
    input_messages: InputMessages | None = None
    sampling_params: CompletionsSampling | None = None


class Responses(Body):
    """Answers asked of `/v1/responses`, or stored ones where no `model` is named."""

    type: Literal["responses"]
    source: Annotated[FileContent | FileSource | StoredResponses, Field(discriminator="type")]
    model: ModelName | None = None
    input_messages: InputMessages | None = None
    sampling_params: ResponsesSampling | None = None


DataSource = Jsonl | Completions | Responses


class RunCreate(Body):
    """Create a run of an eval."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "first",
                    "data_source": {
                        "type": "completions",
                        "source": {"type": "file_id", "id": "file-019abc"},
                        "model": "assistant",
                        "input_messages": {
                            "type": "template",
                            "template": [{"role": "user", "content": "{{item.question}}"}],
                        },
                    },
                }
            ]
        }
    )
    name: Name | None = None
    data_source: Annotated[DataSource, Field(discriminator="type")]
    metadata: Metadata | None = None


class ComparisonCreate(Body):
    """Compare two ended runs item by item; further fields are settings of the comparison."""

    model_config = ConfigDict(extra="allow")
    baseline: Annotated[Text, Field(min_length=1, max_length=64)]
    candidate: Annotated[Text, Field(min_length=1, max_length=64)]

    @property
    def settings(self) -> dict[str, Any]:
        """The rest of the body."""
        return dict(self.model_extra or {})


class GraderRun(Body):
    """Grade one answer."""

    grader: Tree
    model_sample: Text
    item: Tree | None = None


class GraderValidate(Body):
    """Check a grader."""

    grader: Tree
