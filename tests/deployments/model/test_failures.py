"""vLLM's errors, as the client is told."""

from typing import Literal

import pytest
from pydantic import BaseModel, ValidationError

from deployments.errors import InvalidRequest, NotFound, Unavailable, Unprocessable
from deployments.model.failures import context_overflow, engine_error, invalid_fields, is_overflow


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (404, NotFound),
        (422, Unprocessable),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_a_status_has_its_error(status: int, kind: type[Exception]) -> None:
    assert type(engine_error("x", status)) is kind


def test_vllms_note_of_parameter_and_value_is_left_out() -> None:
    error = engine_error("top_p must be in (0, 1]. (parameter=top_p, value=3)", 400, "top_p")
    assert (error.message, error.param) == ("top_p must be in (0, 1].", "top_p")


def test_what_pydantic_says_is_said_once_and_without_its_addresses() -> None:
    said = (
        "2 validation errors for ValidatorIterator\n0.TextParam\n"
        "  Input should be a valid dictionary [type=dict_type, input_value='Hi', input_type=str]\n"
        "    For further information visit https://errors.pydantic.dev/2.14/v/dict_type\n0.File\n"
        "  Input should be a valid dictionary [type=dict_type, input_value='Hi', input_type=str]\n"
        "    For further information visit https://errors.pydantic.dev/2.14/v/dict_type"
    )
    assert engine_error(said, 400).message == (
        "A part of the request is not as it must be. Input should be a valid dictionary."
    )


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 16 output",
        "max_tokens=5000 cannot be greater than max_model_len=4096.",
        "is longer than the maximum model length of 4096.",
    ],
)
def test_an_overflow_is_recognised(message: str) -> None:
    assert is_overflow(message)


def test_an_overflow_tells_tokens_sent_and_allowed() -> None:
    error = context_overflow(5000, 100, 4096, "messages")
    assert error.code == "context_length_exceeded"
    assert all(number in error.message for number in ("5000", "100", "4096"))


class _Body(BaseModel):
    temperature: float = 0.0
    stop: str | list[str] = ""
    role: Literal["user"] = "user"


def test_a_wrong_field_is_named_with_its_value() -> None:
    with pytest.raises(ValidationError) as caught:
        _Body.model_validate({"temperature": "hot"})
    error = invalid_fields(caught.value.errors())
    assert error.param == "temperature"
    assert "'hot'" in error.message


def test_the_members_of_a_union_do_not_show_in_the_field() -> None:
    with pytest.raises(ValidationError) as caught:
        _Body.model_validate({"stop": 5})
    assert invalid_fields(caught.value.errors()).param == "stop"
