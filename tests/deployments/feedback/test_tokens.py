"""Tokens of end users."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.errors import Forbidden, InvalidRequest, Unauthorized
from deployments.feedback.bodies import PARTS
from deployments.feedback.tokens import FeedbackTokens, TokenGrant

FAR = 2**40
TOKENS = FeedbackTokens(b"a key of the tests")
ids = st.text(min_size=1, max_size=64)
grants = st.builds(
    TokenGrant,
    project_id=ids,
    trace_ids=st.lists(ids, min_size=1, max_size=5, unique=True).map(tuple),
    name=ids,
    allow=st.sets(st.sampled_from(PARTS), min_size=1).map(
        lambda names: tuple(name for name in PARTS if name in names)
    ),
    expires_at=st.just(FAR),
    user_id=st.none() | ids,
)


def grant(**values: object) -> TokenGrant:
    fields = {
        "project_id": "p",
        "trace_ids": ("trace_1",),
        "name": "feedback",
        "allow": ("thumbs",),
        "expires_at": FAR,
    }
    return TokenGrant(**{**fields, **values})  # type: ignore[arg-type]


@given(grants)
def test_a_token_says_what_was_signed(signed: TokenGrant) -> None:
    token = TOKENS.sign(signed)
    assert token.startswith("fbt_")
    assert TOKENS.read(token) == signed


@given(grants, st.data())
def test_a_token_with_any_other_character_is_refused(
    signed: TokenGrant, data: st.DataObject
) -> None:
    token = TOKENS.sign(signed)
    at = data.draw(st.integers(0, len(token) - 2))
    other = data.draw(st.sampled_from("abcXYZ019-_.").filter(lambda c: c != token[at]))
    with pytest.raises(Unauthorized) as refused:
        TOKENS.read(token[:at] + other + token[at + 1 :])
    assert refused.value.code == "invalid_token"


@given(st.text(max_size=200))
def test_what_nobody_signed_is_refused(text: str) -> None:
    for token in (text, f"fbt_{text}"):
        with pytest.raises(Unauthorized):
            TOKENS.read(token)


def test_a_token_of_another_key_is_refused() -> None:
    with pytest.raises(Unauthorized, match="another key"):
        FeedbackTokens(b"another key of the tests").read(TOKENS.sign(grant()))


def test_a_token_expires() -> None:
    with pytest.raises(Unauthorized) as refused:
        TOKENS.read(TOKENS.sign(grant(expires_at=int(time.time()))))
    assert refused.value.code == "expired_token"
    assert TOKENS.read(TOKENS.sign(grant(expires_at=int(time.time()) + 60))).name == "feedback"


def test_a_grant_is_for_its_traces() -> None:
    assert grant().trace_of(None) == "trace_1"
    two = grant(trace_ids=("trace_1", "trace_2"))
    assert two.trace_of("trace_2") == "trace_2"
    with pytest.raises(InvalidRequest, match="2 traces"):
        two.trace_of(None)
    with pytest.raises(Forbidden) as refused:
        two.trace_of("trace_3")
    assert (refused.value.status, refused.value.param) == (403, "trace_id")


def test_a_grant_is_for_its_fields() -> None:
    grant().check_parts(["thumbs"])
    with pytest.raises(Forbidden) as refused:
        grant().check_parts(["thumbs", "comment"])
    assert (refused.value.param, refused.value.code) == ("comment", "field_not_allowed")
