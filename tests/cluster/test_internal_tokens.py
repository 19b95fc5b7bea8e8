"""Tokens of Everloop's own parts."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cluster.internal_tokens import INTERNAL_PREFIX, InternalTokens, mint_internal_token
from cluster.settings import Settings
from cluster.tenancy import acting_in
from deployments.feedback.tokens import TOKEN_PREFIX, FeedbackTokens, TokenGrant

SECRET = b"0123456789abcdef"


def test_a_token_says_for_whom_and_what() -> None:
    tokens = InternalTokens(SECRET)
    grant = tokens.read(tokens.mint("proj_a", ("training", "inference")))
    assert grant is not None
    assert grant.project_id == "proj_a"
    assert grant.scopes == {"training", "inference"}


def test_it_is_made_for_the_project_that_acts_at_that_moment() -> None:
    tokens = InternalTokens(SECRET)
    make = tokens.for_acting_project("inference")
    with acting_in("proj_b"):
        grant = tokens.read(make())
    assert grant is not None
    assert grant.project_id == "proj_b"


def test_it_lasts_as_long_as_it_says() -> None:
    at = 1000.0
    tokens = InternalTokens(SECRET, clock=lambda: at)
    token = tokens.mint("proj_a", ("inference",), ttl_s=60)
    at = 1059.0
    assert tokens.read(token) is not None
    at = 1060.0
    assert tokens.read(token) is None


def test_another_secret_or_another_kind_of_token_opens_nothing() -> None:
    tokens = InternalTokens(SECRET)
    assert InternalTokens(b"another secret..").read(tokens.mint("p", ("admin",))) is None
    grant = TokenGrant("p", ("trace_1",), "feedback", ("thumbs",), 2**40)
    feedback = FeedbackTokens(SECRET).sign(grant).removeprefix(TOKEN_PREFIX)
    assert tokens.read(INTERNAL_PREFIX + feedback) is None


@given(st.integers(0, 200), st.sampled_from("aZ0_-."))
def test_a_changed_token_opens_nothing(place: int, put: str) -> None:
    tokens = InternalTokens(SECRET)
    token = tokens.mint("proj_a", ("inference",))
    place %= len(token)
    changed = token[:place] + put + token[place + 1 :]
    grant = tokens.read(changed)
    # The last character of base64 has bits to spare: another one may say the same.
    assert changed == token or place == len(token) - 1 or grant is None
    assert grant is None or grant.project_id == "proj_a"


def test_the_installation_s_secret_signs(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    token = mint_internal_token(settings, "proj_a", ("inference",), 60)
    assert InternalTokens.of(settings).read(token) is not None
