"""What is asked of another replica when one is lost."""

from typing import Any

import pytest

from deployments.errors import DeadlineExceeded, Unavailable, Unprocessable
from deployments.model.delivery import Delivery, why_not_resumed
from deployments.model.messages import ModelCall, Part, Resumed, Sent, Usage

DONE = b"data: [DONE]\n\n"


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def begun(*tokens: int, clock: Clock | None = None, **body: Any) -> Delivery:
    """A stream of which `tokens` have been sent, due in 60 seconds."""
    call = ModelCall("chat", {"stream": True, **body}, "req-1", deadline_s=60)
    delivery = Delivery(call, "Model m", clock or Clock())
    for token in tokens:
        delivery.take(Part(b"data: {}\n\n", None, (token,), created=5))
    return delivery


def test_the_next_replica_is_told_what_was_sent_and_the_time_that_is_left() -> None:
    clock = Clock()
    delivery = begun(7, 8, clock=clock)
    clock.now += 20
    delivery.lose("its replica died")
    assert delivery.call.resume == Sent((7, 8), 5, finished=False)
    assert delivery.call.deadline_s == 40
    assert delivery.call.request_id == "req-1"


def test_the_first_part_of_the_next_replica_says_that_it_went_on() -> None:
    delivery = begun(7)
    delivery.lose("its replica died")
    assert delivery.take(Part(b"", None, (8,))).resumed == Resumed(1, "its replica died")
    assert delivery.take(Part(b"", None, (9,))).resumed is None


def test_an_answer_of_which_nothing_was_sent_is_asked_for_again() -> None:
    delivery = begun()
    delivery.lose("its replica died")
    assert delivery.call.resume is None


@pytest.mark.parametrize("body", [{"n": 3}, {"presence_penalty": 1}, {"use_beam_search": True}])
def test_whatever_it_is_it_can_be_asked_for_again(body: dict[str, Any]) -> None:
    delivery = begun(**body)
    delivery.lose("its replica died")
    assert delivery.call.resume is None


def test_that_the_answer_had_ended_is_told() -> None:
    delivery = begun(7)
    delivery.take(Part(b"data: {}\n\n", None, (8,), finished=True))
    delivery.lose("its replica died")
    assert delivery.call.resume == Sent((7, 8), 5, finished=True)


def test_a_stream_is_complete_with_its_last_event_and_a_body_at_once() -> None:
    stream = begun(7)
    assert not stream.complete
    stream.take(Part(b"data: {}\n\n" + DONE, Usage(1, 1)))
    assert stream.complete
    whole = Delivery(ModelCall("chat", {}, "req-1"), "Model m")
    whole.take(Part(b"{}", Usage(1, 1)))
    assert whole.complete


def test_two_losses_at_the_same_place_are_laid_at_the_request() -> None:
    delivery = begun(7, 8)
    delivery.lose("its replica died")
    with pytest.raises(Unprocessable, match=r"Model m failed twice .* after 2 tokens") as caught:
        delivery.lose("its engine failed")
    assert caught.value.code == "failed_twice"
    assert caught.value.retry_after_s is None


def test_a_third_loss_ends_the_answer_however_far_it_came() -> None:
    delivery = begun(7)
    for token in (8, 9):
        delivery.lose("its replica died")
        delivery.take(Part(b"data: {}\n\n", None, (token,)))
    with pytest.raises(Unavailable, match="lost 3 times") as caught:
        delivery.lose("its replica died")
    assert caught.value.code == "answer_interrupted"


def test_none_is_asked_after_the_deadline() -> None:
    clock = Clock()
    delivery = begun(7, clock=clock)
    clock.now += 60
    with pytest.raises(DeadlineExceeded, match="60 s"):
        delivery.lose("its replica died")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"n": 2}, "several answers"),
        ({"prompt": ["a", "b"]}, "several prompts"),
        ({"prompt": [[1], [2]]}, "several prompts"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"frequency_penalty": -0.5}, "frequency_penalty"),
        ({"bad_words": ["no"]}, "bad_words"),
        ({"use_beam_search": True}, "beams"),
        ({"echo": True}, "echo"),
        ({"include_reasoning": False}, "include_reasoning"),
    ],
)
def test_what_cannot_go_on_ends_with_an_error_that_says_why(
    body: dict[str, Any], reason: str
) -> None:
    delivery = begun(7, **body)
    with pytest.raises(Unavailable, match=rf"after 1 tokens .*{reason}") as caught:
        delivery.lose("its replica died")
    assert caught.value.code == "answer_interrupted"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"n": 1, "echo": False, "bad_words": [], "presence_penalty": 0.0},
        {"prompt": "once"},
        {"prompt": [1, 2, 3]},
        {"stop": ["x"], "logprobs": True, "seed": 4, "repetition_penalty": 1.1},
        {"response_format": {"type": "json_object"}, "tools": []},
    ],
)
def test_the_rest_can_go_on(body: dict[str, Any]) -> None:
    assert why_not_resumed(body) is None
