"""Settings of fine-tuning jobs and gate runs."""

from pathlib import Path

from pydantic import Field

from cluster.sections.section import Section

__all__ = ["TrainingQueueSettings"]


class TrainingQueueSettings(Section):
    """Fine-tuning jobs and gate runs on this cluster."""

    max_running: int = Field(default=1, ge=1)
    """Jobs and gate runs that run at once; others wait."""
    folder: Path | None = None
    """Folder of runs and their checkpoints; every node reaches it. Null is under `data_dir`."""
    max_crashes: int = Field(default=3, ge=0)
    """Times that a job is started again after its process ended without a word."""
    yield_above: float = Field(default=1.0, gt=0)
    """Requests for a model, those that wait included, as a share of what its replicas take at once,
    from which training gives its workers back."""
    yield_after_s: float = Field(default=3.0, ge=0)
    """So long the share must stand above."""
    resume_below: float = Field(default=0.5, ge=0)
    """The share under which training may have workers again."""
    resume_after_s: float = Field(default=30.0, ge=0)
    """So long the share must stand below."""
    cpus_per_replica: float = Field(default=0.05, gt=0)
    """CPUs that Ray reserves for the Trainer, which only starts and watches."""
