"""Budgets of a month: what is left of them, and alerts on the way to their end."""

from typing import Final, Literal, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.records import Alert
from cluster.sections.limits import Bounds
from cluster.tenancy import acting_in
from deployments.alerts.raising import raise_alert
from deployments.limits.used import Used

__all__ = ["ALERT_KIND", "Budget", "Holder", "budgets_of", "raise_budget_alerts"]

ALERT_KIND: Final = "budget"
_PERCENTS: Final = (50, 80, 100)


class Holder(NamedTuple):
    """Whose budget it is."""

    kind: Literal["key", "project"]
    id: str


class Budget(NamedTuple):
    """One of a month's budgets, and how much of it something takes."""

    unit: str
    limit: float
    spent: float

    def __str__(self) -> str:
        """As messages name it."""
        return f"{self.limit:g} {self.unit}"


def budgets_of(bounds: Bounds, used: Used) -> list[Budget]:
    """The budgets that there are, always in one order."""
    found = []
    if bounds.tokens_per_month is not None:
        found.append(Budget("tokens a month", bounds.tokens_per_month, used.tokens))
    if bounds.cost_per_month is not None:
        found.append(Budget("of cost a month", bounds.cost_per_month, used.cost))
    return found


def raise_budget_alerts(
    session: Session, project_id: str, holder: Holder, month: str, bounds: Bounds, used: Used
) -> None:
    """Raise one alert for each of 50, 80 and 100 % of a budget that is reached, once a month.

    One that somebody resolved is not raised again. Belongs into the transaction that counts.
    """
    reached: dict[int, str] = {}
    for unit, limit, spent in budgets_of(bounds, used):
        for percent in _PERCENTS:
            if spent >= limit * percent / 100:
                reached.setdefault(percent, f"{spent:g} of {limit:g} {unit}")
    if not reached:
        return
    with acting_in(project_id):
        sources = {percent: f"{holder.id[:48]}/{month}/{percent}" for percent in reached}
        query = select(Alert.source_id).where(
            Alert.kind == ALERT_KIND, Alert.source_id.in_(sources.values())
        )
        told = set(session.scalars(query))
        for percent, said in reached.items():
            if sources[percent] not in told:
                raise_alert(
                    session,
                    kind=ALERT_KIND,
                    source_id=sources[percent],
                    title=f"{percent} % of the budget of {holder.kind} {holder.id} is used",
                    body={
                        "summary": f"{said} in {month}",
                        holder.kind: holder.id,
                        "month": month,
                        "percent": percent,
                    },
                )
        session.flush()  # rows are given to the acting project when they are inserted
