"""Runs over real records, with a model that a test scripts."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import select

from cluster.database import Database
from cluster.ids import new_id
from cluster.records import Eval, EvalItem, EvalRun
from deployments.evaluation.runs.callers import ModelRoutes, Reply
from deployments.evaluation.runs.ledger import RunLedger
from deployments.evaluation.runs.policy import Limits
from deployments.evaluation.runs.worker import RunWorker
from deployments.evaluation.toolbox import Toolbox

__all__ = ["ASK", "CHECK", "FakeApi", "Scene", "questions", "until"]

CHECK = {
    "type": "string_check",
    "name": "right",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "operation": "eq",
}
ASK: dict[str, Any] = {
    "type": "completions",
    "source": {"type": "file_content", "content": []},
    "model": "m",
    "input_messages": {
        "type": "template",
        "template": [{"role": "user", "content": "{{item.question}}"}],
    },
}


@dataclass
class FakeApi:
    """Answers chats by `says`, in the gateway's shape; waits for `go` where it is cleared."""

    says: Callable[[str], str] = lambda question: question.upper()
    asked: list[str] = field(default_factory=list)
    bodies: list[Mapping[str, Any]] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.go.set()

    async def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        question = body["messages"][-1]["content"]
        self.asked.append(question)
        self.bodies.append(body)
        self.begun.set()
        await self.go.wait()
        message = {"role": "assistant", "content": self.says(question)}
        usage = {"prompt_tokens": 3, "completion_tokens": 1}
        choice = {"message": message, "finish_reason": "stop"}
        return Reply({"model": "m@1", "choices": [choice], "usage": usage}, "trace_1", 0.5)

    async def get(self, path: str) -> Reply:
        raise AssertionError(f"nobody should ask for {path}")


@dataclass
class Scene:
    """A database with one eval, and workers on it."""

    database: Database
    api: FakeApi = field(default_factory=FakeApi)
    lease_s: int = 30
    max_attempts: int = 5

    @property
    def ledger(self) -> RunLedger:
        return RunLedger(self.database, self.lease_s, self.max_attempts)

    def worker(self, concurrency: int = 4, batch: int = 8) -> RunWorker:
        return RunWorker(
            self.ledger,
            cast(ModelRoutes, self.api),
            Toolbox(cast(Any, None), cast(Any, None), cast(Any, None)),
            Limits(concurrency, batch),
            lease_s=self.lease_s,
            poll_s=0.05,
        )

    def add_run(
        self,
        items: Sequence[Mapping[str, Any]],
        *,
        criteria: Sequence[Any] = (CHECK,),
        data_source: Mapping[str, Any] = ASK,
        given: Sequence[Any] | None = None,
    ) -> str:
        eval_id, run_id = new_id("eval"), new_id("evalrun")
        with self.database.session() as session:
            session.add(
                Eval(
                    id=eval_id,
                    data_source_config={"type": "custom", "item_schema": {}},
                    testing_criteria=list(criteria),
                )
            )
            session.flush()
            session.add(
                EvalRun(
                    id=run_id,
                    eval_id=eval_id,
                    model=data_source.get("model"),
                    data_source=dict(data_source),
                    items=len(items),
                )
            )
            session.flush()
            for number, item in enumerate(items, start=1):
                session.add(
                    EvalItem(
                        id=new_id("outputitem"),
                        run_id=run_id,
                        number=number,
                        item=dict(item),
                        given=None if given is None else given[number - 1],
                    )
                )
        return run_id

    def run(self, run_id: str) -> EvalRun:
        with self.database.session(read_only=True) as session:
            return session.get_one(EvalRun, run_id)

    def items(self, run_id: str) -> list[EvalItem]:
        with self.database.session(read_only=True) as session:
            query = select(EvalItem).where(EvalItem.run_id == run_id).order_by(EvalItem.number)
            return list(session.scalars(query))


def questions(count: int) -> list[dict[str, Any]]:
    """Items whose answer is the question in capitals."""
    return [{"question": f"q{n}", "answer": f"Q{n}"} for n in range(count)]


async def until(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait until `holds()`."""
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 - the records have no event to wait for
            await asyncio.sleep(0.01)
