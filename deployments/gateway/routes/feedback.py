"""`/v1/feedback`: what people say of answers, and what reviewers make of it."""

import asyncio
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.audit import record
from cluster.errors import SettingsError
from cluster.records import Feedback, Trace
from cluster.secret import installation_secret
from cluster.tenancy import acting_project
from deployments.errors import InvalidRequest, Unavailable
from deployments.feedback.bodies import EndUserFeedback, FeedbackCreate, Review, TokenCreate
from deployments.feedback.filters import FeedbackFilters
from deployments.feedback.finding import find_trace
from deployments.feedback.objects import FeedbackObject, TokenObject
from deployments.feedback.reading import find_feedback
from deployments.feedback.saving import Opinion, save_opinion, save_review
from deployments.feedback.tokens import FeedbackTokens, TokenGrant
from deployments.gateway.objects import Deleted
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.parameters import known_parameters
from deployments.gateway.services import Services, services
from deployments.gateway.users import USER_HEADER, user_digest

__all__ = ["router"]

router = APIRouter(
    prefix="/v1/feedback", tags=["Feedback"], dependencies=[Depends(known_parameters)]
)
Parts = Annotated[Services, Depends(services)]
PageOf = Annotated[PageQuery, Depends(PageQueryDependency)]
Include = Annotated[
    list[Literal["trace"]] | None,
    Query(alias="include[]", description="`trace`: with the question, the answer and the model."),
]
UserHeader = Annotated[str | None, Header(alias=USER_HEADER)]


@router.post("", summary="Create or change feedback")
async def create_feedback(
    body: FeedbackCreate, parts: Parts, user: UserHeader = None
) -> FeedbackObject:
    """Say something of an answer, at once or later. Who says it again changes what they said."""
    said_by = user_digest({"user": body.user}, user)
    trace_id = await find_trace(parts, *body.named)
    opinion = Opinion(trace_id, body.parts, name=body.name, user_id=said_by, metadata=body.metadata)
    return await parts.database.run(
        lambda session: FeedbackObject.of(save_opinion(session, opinion))
    )


@router.get("", summary="List feedback")
async def list_feedback(
    parts: Parts,
    page: PageOf,
    filters: Annotated[FeedbackFilters, Depends(FeedbackFilters)],
    include: Include = None,
) -> Page[FeedbackObject]:
    """List feedback, newest first."""

    def read(session: Session) -> Page[FeedbackObject]:
        query = filters.narrow(select(Feedback))
        rows, has_more = take_page(session, query, Feedback.id, page)
        traces = _traces(session, rows) if include else {}
        found = [FeedbackObject.of(row, traces.get(row.trace_id)) for row in rows]
        return Page[FeedbackObject].of(found, has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.post("/tokens", summary="Create a token for an end user")
async def create_token(body: TokenCreate, parts: Parts, user: UserHeader = None) -> TokenObject:
    """Sign what an end user may say, of which answers, until when. The user needs no other key."""
    most = parts.settings.feedback.token_ttl_s
    lasts = most if body.expires_in is None else body.expires_in
    if lasts > most:
        raise InvalidRequest(
            f"expires_in is {lasts}; at most {most} seconds (feedback.token_ttl_s) are allowed.",
            param="expires_in",
            code="invalid_value",
        )
    tokens = await _tokens(parts)
    traces = [await find_trace(parts, *reference) for reference in body.references]
    grant = TokenGrant(
        project_id=acting_project(),
        trace_ids=tuple(dict.fromkeys(traces)),
        name=body.name,
        allow=tuple(dict.fromkeys(body.allow)),
        expires_at=int(time.time()) + lasts,
        user_id=user_digest({"user": body.user}, user),
    )
    return TokenObject(
        token=tokens.sign(grant),
        expires_at=grant.expires_at,
        trace_ids=list(grant.trace_ids),
        name=grant.name,
        allow=list(grant.allow),
    )


@router.post("/end-user", summary="Create or change feedback with a token")
async def create_end_user_feedback(
    body: EndUserFeedback, parts: Parts, request: Request
) -> FeedbackObject:
    """Take what an end user says. The token, in the header Authorization, is the only credential.

    It was read before the body was; the request acts for its project.
    """
    grant: TokenGrant = request.state.grant
    trace_id = grant.trace_of(body.trace_id)
    grant.check_parts(body.parts)
    opinion = Opinion(
        trace_id, body.parts, name=grant.name, source="end_user", user_id=grant.user_id
    )
    return await parts.database.run(
        lambda session: FeedbackObject.of(save_opinion(session, opinion))
    )


@router.get("/{feedback_id}", summary="Retrieve feedback")
async def retrieve_feedback(
    feedback_id: str, parts: Parts, include: Include = None
) -> FeedbackObject:
    """Describe one piece of feedback."""

    def read(session: Session) -> FeedbackObject:
        row = find_feedback(session, feedback_id)
        traces = _traces(session, [row]) if include else {}
        return FeedbackObject.of(row, traces.get(row.trace_id))

    return await parts.database.run(read, read_only=True)


@router.post("/{feedback_id}/review", summary="Review feedback")
async def review_feedback(feedback_id: str, body: Review, parts: Parts) -> FeedbackObject:
    """Accept feedback for training, with a better correction if need be, or reject it."""
    return await parts.database.run(
        lambda session: FeedbackObject.of(save_review(session, feedback_id, body))
    )


@router.delete("/{feedback_id}", summary="Delete feedback")
async def delete_feedback(feedback_id: str, parts: Parts) -> Deleted:
    """Forget it. Rows that were made of it stay as they are."""

    def forget(session: Session) -> None:
        row = find_feedback(session, feedback_id, lock=True)
        session.delete(row)
        record(session, "feedback.deleted", feedback_id, trace=row.trace_id)

    await parts.database.run(forget)
    return Deleted(id=feedback_id, object="feedback")


def _traces(session: Session, rows: list[Feedback]) -> dict[str, Trace]:
    found = session.scalars(select(Trace).where(Trace.id.in_({row.trace_id for row in rows})))
    return {trace.id: trace for trace in found}


async def _tokens(parts: Services) -> FeedbackTokens:
    try:
        secret = await asyncio.to_thread(installation_secret, parts.settings)
    except SettingsError as error:
        raise Unavailable(str(error), code="no_secret") from error
    return FeedbackTokens(secret)
