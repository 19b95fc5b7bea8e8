"""Settings of traces: what is kept of requests, for how long, and where else it goes."""

from typing import Literal

from pydantic import Field

from cluster.sections.section import Section

__all__ = ["OtlpSettings", "PriceSettings", "TracingSettings"]


class PriceSettings(Section):
    """What a model's tokens cost, in one currency of your own."""

    model: str = Field(min_length=1, max_length=256)
    """Id of a served model; adapters on it cost the same unless they are named themselves."""
    prompt_per_million: float = Field(default=0.0, ge=0)
    completion_per_million: float = Field(default=0.0, ge=0)


class OtlpSettings(Section):
    """Export of traces by OpenTelemetry's protocol over HTTP."""

    endpoint: str | None = None
    """Collector's URL, such as `http://127.0.0.1:4318/v1/traces`; none: nothing is exported."""
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    """Sent with each export."""
    content: bool = False
    """Export questions, answers and passages too."""
    max_queued: int = Field(default=2048, ge=1)
    """Traces that may wait to be exported; more are dropped and counted."""
    timeout_s: float = Field(default=5.0, gt=0)


class TracingSettings(Section):
    """Traces of requests."""

    max_buffered: int = Field(default=2048, ge=1)
    """Traces that may wait to be written; more are counted as dropped."""
    flush_interval_s: float = Field(default=0.2, gt=0)
    """Longest time a trace waits to be written."""
    store_text: bool = True
    """Keep questions, answers, passages and what else was said in traces."""
    max_input_characters: int = Field(default=32_768, ge=0)
    """Characters of a request's messages and options that its trace keeps, the newest first."""
    sample_rate: float = Field(default=1.0, ge=0, le=1)
    """Share of requests whose trace is kept. Errors, refusals, slow requests, those of experiments,
    those that the Evaluator scores and those whose client asks for it are always kept."""
    slow_ms: float = Field(default=10_000, gt=0)
    """A request that took longer is always kept."""
    retention_days: float | None = Field(default=90, gt=0)
    """Traces older than this are deleted, with their scores; none: they are kept."""
    feedback_retention_days: float | None = Field(default=None, gt=0)
    """The same for traces that have feedback, or that training rows came from."""
    mask: Literal["off", "mask"] = "off"
    """Whether personal data in questions, answers and passages is masked before it is kept."""
    prices: tuple[PriceSettings, ...] = ()
    """What tokens cost, by model; requests to others cost nothing."""
    otlp: OtlpSettings = OtlpSettings()
