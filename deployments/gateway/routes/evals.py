"""`/v1/evals`: what is evaluated, and by which graders."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cluster.audit import record
from cluster.ids import new_id
from cluster.records import Eval, EvalItem, EvalRun, now
from deployments.gateway.evals.bodies import EvalCreate, EvalUpdate
from deployments.gateway.evals.finding import find_eval
from deployments.gateway.evals.objects import EvalObject
from deployments.gateway.evals.planning import check_eval
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.services import Services, services

__all__ = ["router"]

router = APIRouter(prefix="/v1/evals", tags=["Evals"])
Parts = Annotated[Services, Depends(services)]
PageOf = Annotated[PageQuery, Depends(PageQueryDependency)]


class EvalDeleted(BaseModel):
    """Answers that the eval and its runs are gone."""

    object: Literal["eval.deleted"] = "eval.deleted"
    deleted: bool = True
    eval_id: str


@router.post("", summary="Create an eval", status_code=201)
async def create_eval(body: EvalCreate, parts: Parts) -> EvalObject:
    """Keep a form of data and the graders of it. Graders are checked now, item by item later."""
    check_eval(body, parts.settings.evaluation.max_graders)

    def make(session: Session) -> EvalObject:
        at = now()
        row = Eval(
            id=new_id("eval"),
            name=body.name or "",
            data_source_config=body.data_source_config.model_dump(mode="json", exclude_none=True),
            testing_criteria=body.testing_criteria,
            meta=body.metadata or {},
            created_at=at,
            updated_at=at,
        )
        session.add(row)
        session.flush()
        return EvalObject.of(row)

    return await parts.database.run(make)


@router.get("", summary="List evals")
async def list_evals(
    parts: Parts,
    page: PageOf,
    order: Annotated[Literal["asc", "desc"], Query(description="By `order_by`.")] = "asc",
    order_by: Annotated[Literal["created_at", "updated_at"], Query()] = "created_at",
) -> Page[EvalObject]:
    """List evals, oldest first, as OpenAI does."""
    wanted = page.model_copy(update={"order": order})

    def read(session: Session) -> Page[EvalObject]:
        query = select(Eval)
        if order_by == "created_at":
            rows, has_more = take_page(session, query, Eval.id, wanted)
        else:
            rows, has_more = _by_update(session, wanted)
        return Page[EvalObject].of([EvalObject.of(row) for row in rows], has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/{eval_id}", summary="Retrieve an eval")
async def retrieve_eval(eval_id: str, parts: Parts) -> EvalObject:
    """Describe one eval."""
    return await parts.database.run(
        lambda session: EvalObject.of(find_eval(session, eval_id)), read_only=True
    )


@router.post("/{eval_id}", summary="Update an eval")
async def update_eval(eval_id: str, body: EvalUpdate, parts: Parts) -> EvalObject:
    """Change its name or its metadata; data and graders never change."""

    def change(session: Session) -> EvalObject:
        row = find_eval(session, eval_id, lock=True)
        if body.name is not None:
            row.name = body.name
        if "metadata" in body.model_fields_set:
            row.meta = body.metadata or {}
        row.updated_at = now()
        return EvalObject.of(row)

    return await parts.database.run(change)


@router.delete("/{eval_id}", summary="Delete an eval")
async def delete_eval(eval_id: str, parts: Parts) -> EvalDeleted:
    """Delete an eval with its runs and their items; what is under way stops."""

    def remove(session: Session) -> None:
        find_eval(session, eval_id, lock=True)
        runs = select(EvalRun.id).where(EvalRun.eval_id == eval_id)
        session.execute(delete(EvalItem).where(EvalItem.run_id.in_(runs)))
        session.execute(delete(EvalRun).where(EvalRun.eval_id == eval_id))
        session.execute(delete(Eval).where(Eval.id == eval_id))
        record(session, "eval.deleted", eval_id)

    await parts.database.run(remove)
    return EvalDeleted(eval_id=eval_id)


def _by_update(session: Session, page: PageQuery) -> tuple[list[Eval], bool]:
    """The page in order of the last change, and of creation where that is the same."""
    query = select(Eval)
    ascending = page.order == "asc"
    if page.after is not None and (last := session.get(Eval, page.after)) is not None:
        same = Eval.updated_at == last.updated_at
        if ascending:
            query = query.where((Eval.updated_at > last.updated_at) | (same & (Eval.id > last.id)))
        else:
            query = query.where((Eval.updated_at < last.updated_at) | (same & (Eval.id < last.id)))
    keys = (Eval.updated_at, Eval.id)
    ordered = query.order_by(*(key.asc() if ascending else key.desc() for key in keys))
    rows = list(session.scalars(ordered.limit(page.limit + 1)))
    return rows[: page.limit], len(rows) > page.limit
