"""Whether a judge may decide a promotion: a pure function of its report and the bar."""

from cluster.sections.section import Section
from cluster.settings import JudgeBar
from deployments.evaluation.judges.report import JudgeReport

__all__ = ["Standing", "judge_may_decide"]


class Standing(Section):
    """What a judge may do."""

    allowed: bool
    """Whether its verdicts may decide a promotion."""
    reasons: tuple[str, ...]
    """Every way in which it is below the bar; none where it is allowed."""


def judge_may_decide(report: JudgeReport, bar: JudgeBar) -> Standing:
    """Compare a judge's report with the bar; without evidence it may not decide."""
    reasons = (*_amount(report, bar), *_answers(report, bar), *_order(report, bar))
    reasons = (*reasons, *_people(report, bar))
    return Standing(allowed=not reasons, reasons=reasons)


def _amount(report: JudgeReport, bar: JudgeBar) -> list[str]:
    if report.items < bar.min_items:
        return [f"It judged {report.items} items; {bar.min_items} are needed to know it."]
    return []


def _answers(report: JudgeReport, bar: JudgeBar) -> list[str]:
    found = []
    if report.parse_failures > bar.max_parse_failures:
        found.append(
            f"{report.parse_failures} answers were no verdict; at most {bar.max_parse_failures} "
            "may be."
        )
    if report.unanswered > bar.max_unanswered_share * report.verdicts:
        found.append(
            f"{report.unanswered} of {report.verdicts} verdicts are missing; at most "
            f"{bar.max_unanswered_share:.1%} may be."
        )
    # Weighted scores may differ where the likeliest one is always the same.
    if report.items > 1 and len(report.distribution) == 1 and not report.weighted:
        only = next(iter(report.distribution))
        found.append(f"It said {only!r} every time, so nothing shows that it tells answers apart.")
    return found


def _order(report: JudgeReport, bar: JudgeBar) -> list[str]:
    found = []
    if report.flips is not None and report.flips.share > bar.max_flip_rate:
        found.append(
            f"Its verdict changed with the order of the answers in {report.flips.share:.1%} of "
            f"{report.flips.of} pairs; at most {bar.max_flip_rate:.1%} may."
        )
    place = report.position
    if (
        place is not None
        and place.share is not None
        and abs(place.share - 0.5) > bar.max_position_preference
        and place.p_value < bar.position_alpha
    ):
        which = "first" if place.share > 0.5 else "second"
        share = max(place.share, 1 - place.share)
        found.append(
            f"It prefers whichever answer stands {which}: {share:.1%} of its choices "
            f"(p = {place.p_value:.2g})."
        )
    return found


def _people(report: JudgeReport, bar: JudgeBar) -> list[str]:
    found = []
    if report.unread_labels:
        found.append(f"{report.unread_labels} labels by people are none of its categories.")
    agreed = report.agreement
    if agreed is None:
        if bar.require_human_labels:
            found.append("No item carries a person's label, so nobody knows whether it is right.")
    elif agreed.items < bar.min_labelled:
        if bar.require_human_labels:
            found.append(
                f"{agreed.items} items carry a person's label; {bar.min_labelled} are needed."
            )
    elif agreed.kappa is None:
        found.append("Its agreement with people is undefined: both say the same of every item.")
    elif agreed.kappa < bar.min_kappa:
        found.append(
            f"Its agreement with people is kappa = {agreed.kappa:z.2f} on {agreed.items} items; "
            f"{bar.min_kappa:.2f} is needed."
        )
    return found
