"""Alerts reach webhooks, signed, at least once, whatever happens on the way."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from cluster.database import Database
from cluster.records import Alert
from cluster.sections.learning import AlertSettings, WebhookSettings
from cluster.settings import Settings
from deployments.alerts.delivery import Delivery, after_attempt, signed_headers
from deployments.alerts.duty import AlertDuty
from deployments.alerts.raising import raise_alert, resolve_alert
from deployments.monitor.duty import MonitorParts
from tests.fakes.http_server import serving

Clock = Callable[[float], None]


class Hook(BaseHTTPRequestHandler):
    """Keeps what it gets and answers with the statuses that are set, the last one for ever."""

    statuses: ClassVar[list[int]] = []
    got: ClassVar[list[tuple[dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.got.append((headers, body))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        self.send_response(status)
        if status == 302:
            self.send_header("location", "/v1/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hook() -> type[Hook]:
    Hook.statuses, Hook.got = [200], []
    return Hook


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    at = [1_000_000]
    monkeypatch.setattr("deployments.alerts.duty.now", lambda: at[0])

    def forward(seconds: float) -> None:
        at[0] += int(seconds)

    return forward


def duty_of(database: Database, folder: Path, *hooks: WebhookSettings, **more: Any) -> AlertDuty:
    settings = Settings(data_dir=folder, alerts=AlertSettings(webhooks=hooks, **more))
    nothing = cast(Any, None)
    parts = MonitorParts(settings, database, nothing, nothing, nothing, nothing, nothing, {})
    return AlertDuty(parts)


def raised(database: Database, kind: str = "drift") -> str:
    with database.session() as session:
        found = raise_alert(
            session, kind=kind, source_id="monitor_1", title="Moved", body={"share": 0.2}
        )
        session.get_one(Alert, found).deliver_at = 1_000_000
    return found


def alert(database: Database, alert_id: str) -> Alert:
    with database.session() as session:
        return session.get_one(Alert, alert_id)


async def test_an_alert_is_posted_once_and_signed(
    database: Database,
    tmp_path: Path,
    hook: type[Hook],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOOK_KEY", "key")
    with serving(hook) as url:
        duty = duty_of(database, tmp_path, WebhookSettings(url=url, secret_env="HOOK_KEY"))
        found = raised(database)
        await duty.turn()
        clock(1000)
        await duty.turn()
    ((headers, body),) = hook.got
    sent = json.loads(body)
    assert (sent["id"], sent["kind"], sent["source"]) == (found, "drift", "monitor_1")
    assert (sent["title"], sent["body"]) == ("Moved", {"share": 0.2})
    assert sent["url"].endswith(f"/v1/alerts/{found}")
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.new(b"key", content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    row = alert(database, found)
    (delivery,) = row.deliveries
    assert (delivery["attempts"], delivery["delivered_at"]) == (1, 1_000_000)
    assert row.deliver_at is None


def test_the_signature_is_that_of_standard_webhooks() -> None:
    # The example of the specification's reference libraries.
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_failure_is_tried_again_ever_later_until_it_is_given_up(
    database: Database, tmp_path: Path, hook: type[Hook], clock: Clock
) -> None:
    hook.statuses = [500]
    with serving(hook) as url:
        duty = duty_of(database, tmp_path, WebhookSettings(url=url), max_attempts=3)
        found = raised(database)
        waits: list[int] = []
        for _ in range(3):
            await duty.turn()
            at = alert(database, found).deliver_at
            if at is not None:
                waits.append(at - 1_000_000 - sum(waits))
                await duty.turn()  # nothing before its time
                clock(waits[-1])
        clock(10_000)
        await duty.turn()
    assert waits == [5, 10]
    assert len({headers["webhook-id"] for headers, _ in hook.got}) == 1
    assert len(hook.got) == 3
    (delivery,) = alert(database, found).deliveries
    assert (delivery["error"], delivery["delivered_at"]) == ("It answered 500.", None)
    assert alert(database, found).deliver_at is None


async def test_only_what_failed_is_tried_again_and_redirects_are_not_followed(
    database: Database, tmp_path: Path, hook: type[Hook], clock: Clock
) -> None:
    hook.statuses = [302, 200]
    with serving(hook) as url:
        duty = duty_of(database, tmp_path, WebhookSettings(url=url))
        found = raised(database)
        await duty.turn()
        assert alert(database, found).deliveries[0]["error"] == "It answered 302."
        clock(5)
        # A Monitor that was started anew goes on where the other stopped.
        await duty_of(database, tmp_path, WebhookSettings(url=url)).turn()
    assert len(hook.got) == 2
    assert alert(database, found).deliveries[0]["delivered_at"] == 1_000_005


async def test_a_webhook_that_is_down_or_has_no_key_does_not_hold_the_others_up(
    database: Database, tmp_path: Path, hook: type[Hook], clock: Clock
) -> None:
    with serving(hook) as url:
        hooks = [
            WebhookSettings(url="http://127.0.0.1:9/nothing"),
            WebhookSettings(url=url),
            WebhookSettings(url=f"{url}/signed", secret_env="NOT_SET_ANYWHERE"),
            WebhookSettings(url=f"{url}/others", kinds=("experiment.arm_stopped",)),
        ]
        found = raised(database)
        await duty_of(database, tmp_path, *hooks).turn()
    assert len(hook.got) == 1
    down, up, unsigned = alert(database, found).deliveries
    assert down["error"].startswith("ConnectError")
    assert up["delivered_at"] is not None
    assert "NOT_SET_ANYWHERE" in unsigned["error"]


async def test_two_monitors_deliver_once(
    database: Database, tmp_path: Path, hook: type[Hook], clock: Clock
) -> None:
    with serving(hook) as url:
        raised(database)
        duties = [duty_of(database, tmp_path, WebhookSettings(url=url)) for _ in range(3)]
        await asyncio.gather(*(duty.turn() for duty in duties))
    assert len(hook.got) == 1


async def test_an_alert_whose_monitor_died_meanwhile_comes_back(
    database: Database, tmp_path: Path, hook: type[Hook], clock: Clock
) -> None:
    with serving(hook) as url:
        duty = duty_of(database, tmp_path, WebhookSettings(url=url))
        raised(database)
        assert len(await duty._parts.database.run(duty._claim)) == 1
        await duty.turn()
        assert hook.got == []
        clock(60)
        await duty.turn()
    assert len(hook.got) == 1


def test_pauses_double_up_to_an_hour() -> None:
    one = Delivery("delivery_1", "http://127.0.0.1")
    pauses = []
    for _ in range(12):
        one = after_attempt(one, "down", 0, 100)
        pauses.append(one.try_at)
    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses[-1] == 3600


def test_resolving_ends_what_is_open_or_acknowledged(database: Database) -> None:
    first = raised(database)
    with database.session() as session:
        session.get_one(Alert, first).status = "acknowledged"
    assert raised(database) == first
    with database.session() as session:
        assert resolve_alert(session, kind="drift", source_id="monitor_1") == first
    with database.session() as session:
        assert resolve_alert(session, kind="drift", source_id="monitor_1") is None
    assert raised(database) != first


@pytest.mark.parametrize("url", ["ftp://x/y", "file:///etc/passwd", "127.0.0.1", "http://"])
def test_webhooks_are_http_alone(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        WebhookSettings(url=url)
