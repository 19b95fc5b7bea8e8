"""What a webhook is sent, and when it is tried again. Pure."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from cluster.ids import content_id
from cluster.records import Alert
from cluster.sections.learning import WebhookSettings

__all__ = [
    "TEST_KIND",
    "Delivery",
    "after_attempt",
    "deliveries_of",
    "next_try",
    "payload_of",
    "signed_headers",
]

TEST_KIND: Final = "test"
"""Alerts of this kind go to every webhook."""
_FIRST_PAUSE_S: Final = 5
_LONGEST_PAUSE_S: Final = 3600
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - marks a secret that is in base64


@dataclass(frozen=True, slots=True)
class Delivery:
    """An alert on its way to one webhook."""

    id: str
    """The same at each attempt: whoever got it twice knows by it."""
    url: str
    attempts: int = 0
    delivered_at: int | None = None
    error: str | None = None
    """Of the last attempt."""
    try_at: int | None = 0
    """None: delivered or given up."""

    def body(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def deliveries_of(alert: Alert, webhooks: Sequence[WebhookSettings]) -> list[Delivery]:
    """One for each webhook that wants the alert: as it stands, or a new one."""
    known = {one["url"]: Delivery(**one) for one in alert.deliveries}
    return [
        known.get(hook.url) or Delivery(content_id("delivery", alert.id, hook.url), hook.url)
        for hook in webhooks
        if not hook.kinds or alert.kind in {*hook.kinds, TEST_KIND}
    ]


def after_attempt(one: Delivery, error: str | None, at: int, max_attempts: int) -> Delivery:
    """What follows from an attempt at the time `at`; without an error it has arrived."""
    attempts = one.attempts + 1
    if error is None:
        return replace(one, attempts=attempts, delivered_at=at, error=None, try_at=None)
    pause = min(_FIRST_PAUSE_S * 2 ** (attempts - 1), _LONGEST_PAUSE_S)
    again = at + pause if attempts < max_attempts else None
    return replace(one, attempts=attempts, error=error, try_at=again)


def next_try(deliveries: Sequence[Delivery]) -> int | None:
    """When the alert is due again; None where all have it or are given up."""
    return min((one.try_at for one in deliveries if one.try_at is not None), default=None)


def payload_of(alert: Alert, base_url: str) -> bytes:
    """The JSON that is sent."""
    found: Mapping[str, Any] = {
        "id": alert.id,
        "object": "alert",
        "kind": alert.kind,
        "title": alert.title,
        "body": alert.body,
        "source": alert.source_id,
        "created_at": alert.created_at,
        "url": f"{base_url.rstrip('/')}/alerts/{alert.id}",
    }
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()


def signed_headers(delivery_id: str, at: int, payload: bytes, secret: str | None) -> dict[str, str]:
    """The headers of Standard Webhooks (standardwebhooks.com); no signature without a secret.

    Signed is `id.timestamp.payload` by HMAC-SHA256. A secret that starts with `whsec_` is base64,
    any other its own bytes.
    """
    headers = {
        "content-type": "application/json",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(at),
    }
    if secret:
        content = f"{delivery_id}.{at}.".encode() + payload
        digest = hmac.new(_key_of(secret), content, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers


def _key_of(secret: str) -> bytes:
    if secret.startswith(_SECRET_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()
