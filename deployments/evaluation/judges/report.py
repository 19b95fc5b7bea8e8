"""What a judge's own verdicts say about the judge, from the scores that a run keeps."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from cluster.sections.section import Section
from deployments.evaluation.cases import Score
from deployments.evaluation.judges.agreement import (
    Agreement,
    Share,
    Weights,
    agreement_of,
    share_of,
)
from deployments.evaluation.judges.pairwise import Picks, picks_of
from deployments.evaluation.judges.verdict import Judgement, Kind, judgements

__all__ = ["JudgeReport", "PositionPreference", "judge_report"]


class PositionPreference(Section):
    """Whether a pairwise judge goes by where a text stands."""

    first: int
    """Verdicts for the text that stood first."""
    second: int
    ties: int
    share: float | None
    """Of the first position among verdicts that are no ties; 0.5 is none. None: all were ties."""
    p_value: float
    """Exact binomial test over the pairs that lean to one position: a judge that keeps to its
    choice when the order is swapped leans to none."""


class JudgeReport(Section):
    """One judge on one run."""

    kind: Kind | None
    """None where nothing was judged."""
    models: tuple[str, ...]
    """What answered, as the models named themselves."""
    prompts: tuple[str, ...]
    without: tuple[str, ...]
    """What a model refused to be asked with: `logprobs`, `seed`, `temperature`. Without the last
    two it may say another thing tomorrow."""
    items: int
    """Cases that were judged."""
    verdicts: int
    """Questions that were put: two for a pair, one for each criterion of a rubric."""
    calls: int
    """Answers that the models gave; a verdict that was kept from before takes none."""
    cached: int
    """Verdicts that were kept from before."""
    parse_failures: int
    """Answers that were no verdict, also where a later one was."""
    unanswered: int
    """Verdicts that are missing: no answer was one, or the model refused the question."""
    flips: Share | None
    """Pairs whose two orders disagree; None without pairs."""
    position: PositionPreference | None
    distribution: Mapping[str, int]
    """How often each label was said."""
    weighted: int
    """Verdicts whose value is weighted by the labels' probabilities."""
    spread: float | None
    """Mean standard deviation of those, in the values' unit; None without any."""
    agreement: Agreement | None
    """With people, on the items that carry their labels; None without any."""
    unread_labels: int
    """Items whose label by a person is none of the categories."""

    def figures(self) -> dict[str, float]:
        """The figures that stand beside a grader's mean."""
        flips, place, agreed = self.flips, self.position, self.agreement
        told: dict[str, float | None] = {
            "parse_failures": self.parse_failures,
            "unanswered": self.unanswered,
            "spread": self.spread,
            "flip_rate": None if flips is None else flips.share,
            "first_position_share": None if place is None else place.share,
            "first_position_p_value": None if place is None else place.p_value,
            "labelled": None if agreed is None else agreed.items,
            "agreement": None if agreed is None else agreed.raw,
            "kappa": None if agreed is None else agreed.kappa,
        }
        return {name: float(value) for name, value in told.items() if value is not None}


def judge_report(scores: Sequence[Score]) -> JudgeReport:
    """The report on one grader's scores; scores without a judgement do not count.

    Raises ValueError where the scores are of several kinds or scales.
    """
    found = judgements(scores)
    kinds = {(one.kind, one.categories, one.ordinal) for one in found}
    if len(kinds) > 1:
        raise ValueError("these scores are not of one grader")
    verdicts = [verdict for one in found for verdict in one.verdicts]
    said = [verdict.label for verdict in verdicts if verdict.label is not None]
    spreads = [verdict.spread for verdict in verdicts if verdict.spread is not None]
    picks = picks_of(found)
    return JudgeReport(
        kind=found[0].kind if found else None,
        models=_named(verdict.model for verdict in verdicts),
        prompts=_named(verdict.prompt for verdict in verdicts),
        without=_named(name for verdict in verdicts for name in verdict.without),
        items=len(found),
        verdicts=len(verdicts),
        calls=sum(verdict.calls for verdict in verdicts),
        cached=sum(verdict.cached for verdict in verdicts),
        parse_failures=sum(verdict.failures for verdict in verdicts),
        unanswered=len(verdicts) - len(said),
        flips=share_of(picks.flips, picks.pairs) if picks.pairs else None,
        position=_position(picks) if picks.pairs else None,
        distribution=dict(sorted(Counter(said).items())),
        weighted=len(spreads),
        spread=fmean(spreads) if spreads else None,
        agreement=_agreement(found),
        unread_labels=sum(one.human_problem is not None for one in found),
    )


def _named(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _position(picks: Picks) -> PositionPreference:
    from scipy import stats

    decided = picks.first + picks.second
    leaning = picks.leaning_first + picks.leaning_second
    return PositionPreference(
        first=picks.first,
        second=picks.second,
        ties=picks.ties,
        share=picks.first / decided if decided else None,
        p_value=float(stats.binomtest(picks.leaning_first, leaning).pvalue) if leaning else 1.0,
    )


def _agreement(found: Sequence[Judgement]) -> Agreement | None:
    pairs = [
        (one.outcome, one.human)
        for one in found
        if one.outcome is not None and one.human is not None
    ]
    if not pairs:
        return None
    weights: Weights = "quadratic" if found[0].ordinal else "none"
    return agreement_of(pairs, found[0].categories, weights)
