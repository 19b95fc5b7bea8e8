"""Settings of scores and evals."""

from pydantic import Field

from cluster.sections.section import Section

__all__ = ["EvaluationSettings", "JudgeBar", "OutsideModelSettings"]


class OutsideModelSettings(Section):
    """A model of another OpenAI API, which graders and runs may name."""

    id: str = Field(pattern=r"^[A-Za-z0-9._/-]{1,128}$")
    """The name here."""
    base_url: str = Field(pattern=r"^https?://")
    """Its API, such as `https://api.openai.com/v1`."""
    model: str
    """Its name there."""
    key_variable: str | None = None
    """Environment variable of the Evaluator that holds the key."""


class JudgeBar(Section):
    """What a judge must show before its verdicts count."""

    min_kappa: float = Field(default=0.6, ge=-1, le=1)
    """Cohen's kappa with people; 0.61 to 0.80 is «substantial» (Landis and Koch 1977)."""
    require_human_labels: bool = True
    """False: a judge that was never compared with people may decide, if all else is in order."""
    min_labelled: int = Field(default=30, ge=1)
    """Items with a person's label from which kappa says anything."""
    min_items: int = Field(default=30, ge=1)
    """Items from which the judge's figures say anything."""
    max_parse_failures: int = Field(default=0, ge=0)
    """Answers that are no verdict."""
    max_unanswered_share: float = Field(default=0.02, ge=0, le=1)
    """Share of verdicts that may be missing."""
    max_flip_rate: float = Field(default=0.2, ge=0, le=1)
    """Share of pairs whose two orders may disagree."""
    max_position_preference: float = Field(default=0.1, ge=0, le=0.5)
    """Distance of the first position's share from one half."""
    position_alpha: float = Field(default=0.05, gt=0, lt=1)
    """A preference beyond the distance counts where its p-value is below this."""


class EvaluationSettings(Section):
    """Scoring of live answers, and runs of evals."""

    sample_rate: float = Field(default=1.0, ge=0, le=1)
    """Share of grounded answers that the Evaluator scores."""
    max_queued: int = Field(default=256, ge=1)
    """Answers that may wait to be scored; more are counted as dropped."""
    cpus_per_replica: float = Field(default=0.1, gt=0)
    """CPUs that Ray reserves for the Evaluator."""
    replicas: int = Field(default=1, ge=1)
    """Evaluator replicas; they share runs."""
    run_concurrency: int = Field(default=8, ge=1, le=256)
    """Answers and verdicts that a replica asks models for at once."""
    batch_items: int = Field(default=64, ge=1, le=1000)
    """Items that are graded at a time where their answers are given."""
    lease_s: int = Field(default=30, ge=5, le=600)
    """Items of a replica that died are taken up by another after so many seconds."""
    max_attempts: int = Field(default=5, ge=1)
    """An item at which the Evaluator died so often is written off as an error."""
    answer_patience_s: float = Field(default=900.0, gt=0)
    """So long one answer is asked for while the model is busy or away."""
    max_items: int = Field(default=20_000, ge=1)
    """Items of a run."""
    max_data_bytes: int = Field(default=64 * 1024**2, ge=1024)
    """Size of a run's data."""
    max_graders: int = Field(default=32, ge=1)
    """Graders of an eval."""
    verdict_days: int = Field(default=90, ge=1)
    """Days for which a judge's verdict is remembered."""
    max_verdicts: int = Field(default=200_000, ge=1)
    """Verdicts that are remembered; the oldest go first."""
    base_url: str | None = None
    """Where the Evaluator asks for answers; null is this machine's gateway."""
    outside_models: tuple[OutsideModelSettings, ...] = ()
    """Models elsewhere that may judge or be evaluated."""
    judge_bar: JudgeBar = JudgeBar()
    """What a judge must show before its verdicts may decide a promotion."""
