"""Settings of guards: what is checked of questions, passages and answers, and what follows."""

from typing import Literal

from pydantic import Field, model_validator

from cluster.sections.section import Section

__all__ = [
    "BlockedTermsGuard",
    "GuardPolicy",
    "GuardSettings",
    "GuardsSettings",
    "InjectionGuard",
    "JailbreakGuard",
    "OffTopicGuard",
    "PersonalDataGuard",
    "SchemaGuard",
    "SecretsGuard",
    "ToxicityGuard",
]

Judging = Literal["off", "flag", "block"]
Masking = Literal["off", "flag", "mask", "block"]
Passages = Literal["off", "flag", "mask", "drop"]
Kind = Literal[
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "IBAN_CODE",
    "CREDIT_CARD",
    "IP_ADDRESS",
    "US_SSN",
    "URL_WITH_SECRET",
    "NATIONAL_ID",
    "PASSPORT",
    "DRIVING_LICENCE",
    "MEDICAL_ID",
    "BANK_ACCOUNT",
    "VEHICLE_PLATE",
    "DATE_OF_BIRTH",
    "STREET_ADDRESS",
    "PERSON",
]


class GuardSettings(Section):
    """What every guard has. `input`, `passages` and `output` say what it does where it finds."""

    threshold: float = Field(default=0.5, ge=0, le=1)
    """Score from which the guard acts."""
    budget_ms: float = Field(default=50.0, gt=0)
    """Longest time it may take for one question, one search or one piece of an answer. For texts of
    more than 4,000 characters in proportion, at most ten times it."""
    on_failure: Literal["open", "closed"] = "open"
    """What an unfinished check means: `open` lets the text pass, `closed` blocks or drops it. Where
    a judge is asked, its silence is one too."""


class InjectionGuard(GuardSettings):
    """Instructions to the model that stand in texts: in passages above all."""

    input: Judging = "flag"
    passages: Passages = "drop"
    """`mask` takes the sentences with instructions out and keeps the rest."""
    recogniser: bool = True
    """Look for attacks in words that no rule knows, by a small model that ships with Everloop."""
    similarity: bool = True
    """Compare sentences that are only suspected with known ones, through the Embedder."""
    threshold: float = Field(default=0.6, ge=0, le=1)
    budget_ms: float = Field(default=150.0, gt=0)


class JailbreakGuard(GuardSettings):
    """Questions that talk the model out of its rules."""

    input: Judging = "flag"
    recogniser: bool = True
    """As for injections."""
    similarity: bool = True
    """As for injections."""
    threshold: float = Field(default=0.6, ge=0, le=1)
    budget_ms: float = Field(default=150.0, gt=0)


class PersonalDataGuard(GuardSettings):
    """Personal data that has a pattern or is introduced. Off: documents are full of it."""

    input: Masking = "off"
    passages: Passages = "off"
    output: Masking = "off"
    kinds: dict[Kind, Literal["allow", "flag", "mask", "block"]] = Field(default_factory=dict)
    """What is done with a kind, where that differs; in passages, `block` drops the passage."""
    phone_regions: tuple[str, ...] = ("US", "GB", "DE", "FR", "ES", "IN", "BR")
    """Regions whose national phone numbers are known; numbers with + always are."""
    threshold: float = Field(default=0.4, ge=0, le=1)
    """Presidio's confidence from which a find counts."""
    budget_ms: float = Field(default=500.0, gt=0)
    on_failure: Literal["open", "closed"] = "closed"


class ToxicityGuard(GuardSettings):
    """Insults, threats and slurs, by the rules of the metric `toxicity`."""

    input: Judging = "flag"
    output: Judging = "flag"


class SecretsGuard(GuardSettings):
    """Keys, tokens, private keys and passwords."""

    input: Masking = "flag"
    passages: Passages = "off"
    output: Masking = "mask"


class BlockedTermsGuard(GuardSettings):
    """Words that must not be said, whatever is done to disguise them."""

    input: Masking = "block"
    passages: Passages = "off"
    output: Masking = "mask"
    terms: tuple[str, ...] = ()
    """Words and phrases; case, accents and disguises do not matter. None: the guard is off."""


class OffTopicGuard(GuardSettings):
    """Questions that have nothing to do with a topic."""

    input: Judging = "flag"
    topic: str = ""
    """What may be asked about, in a sentence or two; empty: the guard is off."""
    examples: tuple[str, ...] = ()
    """Questions that are on topic."""
    threshold: float = Field(default=0.85, ge=0, le=1)
    """1 less the cosine to the topic or the nearest example, from which a question is off topic."""
    budget_ms: float = Field(default=250.0, gt=0)


class SchemaGuard(GuardSettings):
    """Answers that must be JSON of a schema, where the request demands one."""

    output: Judging = "flag"
    """In a stream `block` can only change the reason of the end: the text has gone out."""


class GuardJudge(Section):
    """A model that is asked where the rules are not sure."""

    model: str
    """A served model, or the id of one of `evaluation.outside_models`."""
    unsure_from: float = Field(default=0.3, ge=0, le=1)
    """Score below a guard's threshold from which the judge is asked."""
    budget_ms: float = Field(default=2000.0, gt=0)
    """Its own, beside the guard's."""
    max_remembered: int = Field(default=4096, ge=1)
    """Verdicts that are kept for the same text."""


class GuardPolicy(Section):
    """All guards."""

    injection: InjectionGuard = InjectionGuard()
    jailbreak: JailbreakGuard = JailbreakGuard()
    personal_data: PersonalDataGuard = PersonalDataGuard()
    toxicity: ToxicityGuard = ToxicityGuard()
    secrets: SecretsGuard = SecretsGuard()
    blocked_terms: BlockedTermsGuard = BlockedTermsGuard()
    off_topic: OffTopicGuard = OffTopicGuard()
    json_schema: SchemaGuard = SchemaGuard()


class GuardsSettings(GuardPolicy):
    """What is checked of questions, passages and answers."""

    enabled: bool = True
    """False: no guard runs, but for `/v1/moderations`."""
    look_ahead: int = Field(default=256, ge=32, le=8192)
    """Characters of a streamed answer that may be held back until they are decided."""
    judge: GuardJudge | None = None
    """Asked about injections and jailbreaks that the rules are not sure of; none by default."""
    projects: dict[str, GuardPolicy] = Field(default_factory=dict)
    """By project id: its whole policy, in place of the one above."""

    @model_validator(mode="after")
    def _terms_say_something(self) -> "GuardsSettings":
        for name, policy in {"guards": self, **self.projects}.items():
            if any(not any(c.isalnum() for c in term) for term in policy.blocked_terms.terms):
                raise ValueError(f"{name}: a blocked term has neither letter nor digit")
        return self

    @model_validator(mode="after")
    def _judge_is_asked(self) -> "GuardsSettings":
        if self.judge is None:
            return self
        policies = (self, *self.projects.values())
        highest = max(max(p.injection.threshold, p.jailbreak.threshold) for p in policies)
        if self.judge.unsure_from >= highest:
            raise ValueError(
                f"judge.unsure_from is {self.judge.unsure_from:g}, so that no judge is ever asked: "
                f"it must be below {highest:g}, the highest threshold of injection and jailbreak"
            )
        return self

    def policy_of(self, project_id: str) -> GuardPolicy:
        """What holds for a project."""
        return self.projects.get(project_id, self)
