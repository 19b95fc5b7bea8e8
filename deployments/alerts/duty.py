"""Delivers alerts to webhooks: at least once each, one Monitor at a time, over restarts."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Final

import httpx
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cluster.records import Alert, now
from cluster.sections.learning import WebhookSettings
from deployments.alerts.delivery import (
    Delivery,
    after_attempt,
    deliveries_of,
    next_try,
    payload_of,
    signed_headers,
)
from deployments.monitor.duty import MonitorParts

__all__ = ["AlertDuty"]

_AT_ONCE: Final = 16
_LEASE_EXTRA_S: Final = 30
_SHOWN: Final = 200


class AlertDuty:
    """See `deployments.monitor.duty.Duty`."""

    name: Final = "alerts"

    def __init__(self, parts: MonitorParts) -> None:
        self._parts: Final = parts
        self._settings: Final = parts.settings.alerts

    @property
    def period_s(self) -> float:
        """As the settings say."""
        return self._settings.period_s

    async def turn(self) -> None:
        """Deliver what is due, at most sixteen alerts."""
        claimed = await self._parts.database.run(self._claim)
        if not claimed:
            return
        timeout = self._settings.timeout_s
        async with httpx.AsyncClient(timeout=timeout, follow_redirects=False) as client:
            await asyncio.gather(*(self._deliver(client, alert) for alert in claimed))

    def _claim(self, session: Session) -> list[Alert]:
        """Alerts that are due, put off for as long as delivering them may take.

        No other Monitor takes them meanwhile, and after a crash they come back.
        """
        at = now()
        lease = at + int(self._settings.timeout_s) + _LEASE_EXTRA_S
        due = session.scalars(
            select(Alert).where(Alert.deliver_at <= at).order_by(Alert.deliver_at).limit(_AT_ONCE)
        )
        claimed = []
        for alert in list(due):
            taken: Any = session.execute(
                update(Alert)
                .where(Alert.id == alert.id, Alert.deliver_at == alert.deliver_at)
                .values(deliver_at=lease)
                .execution_options(synchronize_session=False)
            )
            if taken.rowcount:
                session.refresh(alert)
                claimed.append(alert)
        return claimed

    async def _deliver(self, client: httpx.AsyncClient, alert: Alert) -> None:
        hooks = {hook.url: hook for hook in self._settings.webhooks}
        payload = payload_of(alert, self._parts.settings.base_url)
        deliveries = deliveries_of(alert, self._settings.webhooks)

        async def attempt(one: Delivery) -> Delivery:
            if one.try_at is None or one.try_at > now():
                return one
            error = await self._post(client, hooks[one.url], one.id, payload)
            return after_attempt(one, error, now(), self._settings.max_attempts)

        await self._keep(alert.id, await asyncio.gather(*map(attempt, deliveries)))

    async def _post(
        self, client: httpx.AsyncClient, hook: WebhookSettings, delivery_id: str, payload: bytes
    ) -> str | None:
        """Send it; what went wrong, or None."""
        secret = None if hook.secret_env is None else os.environ.get(hook.secret_env)
        if hook.secret_env is not None and not secret:
            return f"The variable {hook.secret_env}, which holds the webhook's key, is not set."
        headers = signed_headers(delivery_id, now(), payload, secret)
        try:
            async with (
                asyncio.timeout(self._settings.timeout_s),
                client.stream("POST", hook.url, content=payload, headers=headers) as answer,
            ):
                pass  # its body, of whatever size, is not read
        except TimeoutError:
            return f"No answer within {self._settings.timeout_s:g} s."
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return f"{type(error).__name__}: {error}"[:_SHOWN]
        if answer.is_success:
            return None
        return f"It answered {answer.status_code}."

    async def _keep(self, alert_id: str, deliveries: Sequence[Delivery]) -> None:
        def write(session: Session) -> None:
            alert = session.get(Alert, alert_id)
            if alert is not None:
                alert.deliveries = [one.body() for one in deliveries]
                alert.deliver_at = next_try(deliveries)

        await self._parts.database.run(write)
