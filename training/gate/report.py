"""All that the gate found, in one document that is read back as it was written."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

from pydantic import Field

from cluster.sections.section import Section
from training.data.texts import question
from training.gate.evidence import Evidence
from training.gate.generation import Pair
from training.gate.settings import GateSettings
from training.gate.verdict import Verdict

__all__ = ["SCHEMA", "Contender", "GateReport", "ReportedItem", "reported_items"]

SCHEMA: Final = 1
_LONGEST_TEXT: Final = 2_000


class Contender(Section):
    """One side."""

    model: str = Field(min_length=1)
    """What a request names as `model`: an adapter version's id, or a base model's."""
    title: str = ""
    """What a person calls it; empty is `model`."""
    weights: str | None = Field(default=None, min_length=1)
    """The adapter or base model that answers, where `model` names an arm of an experiment: weights
    with a prompt and a retrieval of its own. None: `model` itself."""

    @property
    def shown(self) -> str:
        """Its name on the page."""
        return self.title or self.model


class ReportedItem(Section):
    """One item with both answers. Long texts are cut."""

    number: int
    question: str
    reference: str
    candidate: str
    champion: str
    candidate_score: float
    champion_score: float


class GateReport(Section):
    """One run of the gate. `model_dump_json` writes it, `model_validate_json` reads it."""

    schema_version: Literal[1] = 1
    """Changes with the meaning of a field."""
    at: datetime
    """When it ended, in UTC."""
    seconds: float
    candidate: Contender
    champion: Contender
    settings: GateSettings
    evidence: Evidence
    verdict: Verdict
    items: tuple[ReportedItem, ...] = ()
    """Those that differ most first, `settings.items_kept` at most."""

    def page(self) -> str:
        """The report as one HTML page that needs nothing beside it."""
        from training.gate.page import render_page

        return render_page(self)


def reported_items(
    pairs: Sequence[Pair], candidate: Sequence[float], champion: Sequence[float], most: int
) -> tuple[ReportedItem, ...]:
    """The `most` items on which the scores of answered `pairs` are furthest apart."""
    order = sorted(range(len(pairs)), key=lambda i: (-abs(candidate[i] - champion[i]), i))
    return tuple(_reported(pairs[i], candidate[i], champion[i]) for i in order[:most])


def _reported(pair: Pair, candidate: float, champion: float) -> ReportedItem:
    ours = pair.candidate.answer.text if pair.candidate else ""
    theirs = pair.champion.answer.text if pair.champion else ""
    asked = "\n".join(turn.text for turn in question(pair.item.example))
    return ReportedItem(
        number=pair.item.number,
        question=_cut(asked),
        reference=_cut(pair.item.reference),
        candidate=_cut(ours),
        champion=_cut(theirs),
        candidate_score=candidate,
        champion_score=champion,
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
