"""A suite's verdict as JUnit XML, in the form that CI tools show.

One test case per check: it fails exactly where the check fails, so that the tool's colour is the
exit code's. The items that a grader fails are listed in the text of its case; as test cases of
their own they would turn a run red that keeps its threshold.
"""

import re
from typing import Final
from xml.etree import ElementTree

from deployments.evaluation.suites.outcome import Outcome, failing_items
from deployments.evaluation.suites.verdict import Check

__all__ = ["junit_xml"]

_ITEMS: Final = 50
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, escaped or not (its production 2, Char)."""


def junit_xml(outcome: Outcome) -> bytes:
    """The document, in UTF-8."""
    cases = [_case(outcome, check) for check in outcome.verdict.checks]
    checked = {check.grader for check in outcome.verdict.checks}
    cases += [_unchecked(outcome, name) for name in outcome.graders if name not in checked]
    failures = sum(case.find("failure") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    counts = {"tests": str(len(cases)), "failures": str(failures), "errors": "0"}
    time = f"{outcome.seconds:.3f}"
    root = ElementTree.Element("testsuites", {"name": "everloop", "time": time} | counts)
    attributes = counts | {"name": _clean(outcome.suite), "skipped": str(skipped), "time": time}
    suite = ElementTree.SubElement(root, "testsuite", attributes)
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(outcome).items():
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
    suite.extend(cases)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _properties(outcome: Outcome) -> dict[str, str]:
    found = {
        "eval": outcome.eval_id,
        "runs": " ".join(outcome.run_ids),
        "model": outcome.model or "given answers",
        "items": str(outcome.items),
        "seed": str(outcome.seed),
    }
    if outcome.baseline:
        found["baseline"] = outcome.baseline
    return found | ({"synthetic": outcome.origin} if outcome.synthetic else {})


def _case(outcome: Outcome, check: Check) -> ElementTree.Element:
    name = f"{check.grader}: {check.rule}" if check.grader else "every item answered and graded"
    case = _element(outcome, name)
    if not check.passed:
        failure = ElementTree.SubElement(
            case, "failure", message=_clean(check.reason), type=check.rule
        )
        failure.text = _clean(_listed(outcome, check))
    else:
        ElementTree.SubElement(case, "system-out").text = _clean(_listed(outcome, check))
    return case


def _unchecked(outcome: Outcome, grader: str) -> ElementTree.Element:
    case = _element(outcome, f"{grader}: no threshold")
    ElementTree.SubElement(case, "skipped", message="The suite sets no threshold for this grader.")
    return case


def _element(outcome: Outcome, name: str) -> ElementTree.Element:
    return ElementTree.Element(
        "testcase", classname=_clean(outcome.suite), name=_clean(name), time="0"
    )


def _listed(outcome: Outcome, check: Check) -> str:
    if not check.grader:
        lines = [f"item {result.number}: {result.error}" for result in outcome.errors[:_ITEMS]]
        more = max(0, len(outcome.errors) - _ITEMS)
    else:
        lines, more = failing_items(outcome.results, check.grader, _ITEMS)
    return "\n".join([check.reason, *lines, *([f"and {more} more"] if more else [])])


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
