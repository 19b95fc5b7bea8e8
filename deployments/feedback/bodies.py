"""What the routes of feedback read."""

from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from deployments.gateway.bodies import Body, Metadata, Text
from deployments.storable import Count, Moment

__all__ = [
    "PARTS",
    "EndUserFeedback",
    "FeedbackCreate",
    "Part",
    "Review",
    "TokenCreate",
    "TraceReference",
]

Part = Literal["thumbs", "score", "correction", "comment"]
PARTS: Final[tuple[Part, ...]] = ("thumbs", "score", "correction", "comment")

Id = Annotated[Text, Field(min_length=1, max_length=192)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
User = Annotated[Text, Field(min_length=1, max_length=512)]
Correction = Annotated[Text, Field(min_length=1, max_length=65_536)]
Comment = Annotated[Text, Field(min_length=1, max_length=8_192)]


class Said(Body):
    """What can be said of an answer. What is absent stays as it was; null takes it back."""

    thumbs: Literal["up", "down"] | None = None
    score: Annotated[float, Field(ge=0, le=1)] | None = None
    correction: Correction | None = None
    """What the answer should have been."""
    comment: Comment | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.parts:
            raise ValueError(f"At least one of {', '.join(PARTS)} is needed")
        return self

    @property
    def parts(self) -> dict[Part, Any]:
        """What is said, or taken back."""
        return {name: getattr(self, name) for name in PARTS if name in self.model_fields_set}


class TraceReference(Body):
    """Which request is meant: exactly one of its ids."""

    trace_id: Id | None = None
    """`x-trace-id`."""
    request_id: Id | None = None
    """`x-request-id`; the newest where a client used one twice."""
    response_id: Id | None = None
    """Of a response that was stored."""
    completion_id: Id | None = None
    """`id` of a chat completion or a completion."""

    _IDS: ClassVar[tuple[str, ...]] = ("trace_id", "request_id", "response_id", "completion_id")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(getattr(self, name) is not None for name in self._IDS) != 1:
            raise ValueError(f"Exactly one of {', '.join(self._IDS)} is needed")
        return self

    @property
    def named(self) -> tuple[str, str]:
        """The field that is given, and its value."""
        return next((name, value) for name in self._IDS if (value := getattr(self, name)))


class FeedbackCreate(Said, TraceReference):
    """Say something of an answer, or change what was said."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"trace_id": "trace_065…", "thumbs": "up"}]}
    )
    name: Name = "feedback"
    """What was asked; scores of one name can be compared."""
    user: User | None = None
    """Who says it; kept as a digest."""
    metadata: Metadata | None = None


class EndUserFeedback(Said):
    """The same, by whoever holds a token."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"thumbs": "down"}]})
    trace_id: Id | None = None
    """Which of the token's traces, where it has several."""


class TokenCreate(TraceReference):
    """Make a token for an end user."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"trace_id": "trace_065…", "allow": ["thumbs"]}]}
    )
    trace_ids: Annotated[list[Id], Field(min_length=1, max_length=20)] | None = None
    """Several, in place of one id."""
    name: Name = "feedback"
    expires_in: Count | None = None
    """Seconds; at most, and by default, `feedback.token_ttl_s`."""
    allow: Annotated[list[Part], Field(min_length=1)] = Field(default_factory=lambda: [*PARTS])
    user: User | None = None
    """Who will say it. Without one, all who hold tokens of a trace change the same feedback."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        names = ("trace_ids", *self._IDS)
        if sum(getattr(self, name) is not None for name in names) != 1:
            raise ValueError(f"Exactly one of {', '.join(names)} is needed")
        return self

    @property
    def references(self) -> list[tuple[str, str]]:
        """Each request's field and id."""
        if self.trace_ids is not None:
            return [("trace_id", trace_id) for trace_id in dict.fromkeys(self.trace_ids)]
        return [self.named]


class Review(Body):
    """Say whether feedback may be learned from."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"review": "accepted"}]})
    review: Literal["accepted", "rejected"]
    reviewer: Annotated[Text, Field(min_length=1, max_length=128)] | None = None
    correction: Correction | None = None
    """A better one than the user's."""
    updated_at: Moment | None = None
    """Of what the reviewer saw: 409 where it has changed since."""
