"""Settings of what runs while people use the system: experiments, feedback, drift, alerts."""

from pydantic import Field

from cluster.sections.section import Section

__all__ = [
    "AlertSettings",
    "DriftSettings",
    "ExperimentSettings",
    "FeedbackSettings",
    "MonitorSettings",
    "WebhookSettings",
]


class MonitorSettings(Section):
    """The Monitor: the actor that watches over experiments, drift, alerts and retention."""

    cpus: float = Field(default=0.1, ge=0)
    """CPUs that its replica reserves."""


class ExperimentSettings(Section):
    """Experiments on live traffic."""

    period_s: float = Field(default=0.5, gt=0)
    """How often running experiments are looked at."""
    max_shadows: int = Field(default=32, ge=0)
    """Shadow requests that one gateway replica holds at once; further ones are left out and
    counted."""


class FeedbackSettings(Section):
    """Feedback on answers."""

    token_ttl_s: int = Field(default=7 * 86400, ge=60)
    """How long a token is good for, unless it is asked for with less."""
    allowed_origins: tuple[str, ...] = ()
    """Origins such as `https://www.example.com` whose pages may send end users' feedback by CORS;
    `*`: any; none: pages of this server only."""


class DriftSettings(Section):
    """Drift monitors."""

    period_s: float = Field(default=5.0, gt=0)
    """How often the schedule is looked at."""
    max_window: int = Field(default=5000, ge=100)
    """Requests of one window that are looked at; beyond it they are sampled evenly."""


class WebhookSettings(Section):
    """Somebody who is told of alerts."""

    url: str = Field(pattern=r"^https?://[^\s/]", max_length=2048, repr=False)
    """Gets a POST with JSON; `http://…` or `https://…`. Redirects are not followed."""
    secret_env: str | None = None
    """Variable with the key that signs deliveries (HMAC-SHA256, as standardwebhooks.com says)."""
    kinds: tuple[str, ...] = ()
    """Kinds of alerts that it gets; none: all."""


class AlertSettings(Section):
    """Alerts, and who is told of them."""

    webhooks: tuple[WebhookSettings, ...] = ()
    max_attempts: int = Field(default=8, ge=1)
    """Tries to deliver, ever further apart, before it is given up."""
    timeout_s: float = Field(default=5.0, gt=0)
    period_s: float = Field(default=1.0, gt=0)
    """How often alerts that wait are looked for."""
