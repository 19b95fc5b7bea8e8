"""What outside models use for evals is the project's, and of its budget."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from cluster.database import Database
from cluster.errors import ApiError
from cluster.records import Project, Usage
from cluster.sections.limits import Bounds, LimitsSettings
from cluster.sections.tracing import PriceSettings
from cluster.settings import Settings
from cluster.tenancy import acting_in
from deployments.evaluation.runs.callers import HttpModels, ModelRoutes
from deployments.evaluation.runs.metering import OutsideMeter
from deployments.evaluator.tools import make_routes
from deployments.limits.limiter import Limiter
from deployments.tracing.prices import Prices

BODY = {"model": "far", "messages": [{"role": "user", "content": "Hello?"}], "max_tokens": 20}
PRICE = PriceSettings(model="far", prompt_per_million=1e6, completion_per_million=2e6)


def routes(database: Database, *answers: dict[str, Any], **bounds: Any) -> ModelRoutes:
    """An outside model `far` that gives `answers` in turn, beside a gateway that nobody asks."""
    left = list(answers)

    def api(url: str) -> HttpModels:
        return HttpModels(
            url,
            concurrency=1,
            patience_s=0.01,
            request_timeout_s=5,
            transport=httpx.MockTransport(lambda _: httpx.Response(200, json=left.pop(0))),
        )

    settings = LimitsSettings(project=Bounds(**bounds))
    limiter = Limiter(database, settings, prices=Prices((PRICE,)), rates=False)
    outside = {"far": (api("http://far/v1"), "far-9b")}
    return ModelRoutes(api("http://here/v1"), outside, OutsideMeter(limiter))


def used(database: Database) -> list[tuple[str, str, str, int, int, int, float]]:
    with database.session(read_only=True) as session:
        return [
            (
                r.project_id,
                r.key_id,
                r.model,
                r.requests,
                r.prompt_tokens,
                r.completion_tokens,
                r.cost,
            )
            for r in session.scalars(select(Usage))
        ]


async def test_tokens_of_an_outside_model_are_the_projects(database: Database) -> None:
    told = {"usage": {"prompt_tokens": 9, "completion_tokens": 4}}
    asked = routes(database, told, {"usage": None})
    with acting_in("proj_1"):
        assert await asked.chat(BODY) == told
        await asked.chat(BODY)  # one that tells nothing took its prompt, as estimated
    await asked.close()
    assert used(database) == [("proj_1", "system", "far", 0, 18, 4, 26.0)]


async def test_rates_are_the_gateways_and_a_used_up_budget_asks_no_outside_model(
    database: Database,
) -> None:
    with database.session() as session:
        session.add(Project(id="proj_1", name="one", limits={"tokens_per_month": 60}))
    told = {"usage": {"prompt_tokens": 50, "completion_tokens": 10}}
    asked = routes(database, told, told, tokens_per_minute=1, requests_per_minute=1)
    with acting_in("proj_1"):
        await asked.chat(BODY)
        with pytest.raises(ApiError) as refused:
            await asked.chat(BODY)
    assert refused.value.status == 429
    assert "budget" in refused.value.message
    await asked.close()


async def test_the_evaluator_counts_what_its_outside_models_use(
    database: Database, tmp_path: Path
) -> None:
    models = [{"id": "far", "base_url": "http://far/v1", "model": "far-9b"}]
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "evaluation": {"outside_models": models}}
    )
    made = make_routes(settings, database)
    assert made._meter is not None
    await made.close()
