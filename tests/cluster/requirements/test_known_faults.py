"""What is made of pip-audit's report."""

import pytest

from cluster.requirements import audit
from cluster.requirements.audit import Audit, accepted_faults, main, read_audit

_FAULT = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.0"]}
_REPORT = {
    "dependencies": [
        {"name": "good", "version": "1", "vulns": []},
        {"name": "bad", "version": "1.5", "vulns": [_FAULT]},
        {"name": "ours", "skip_reason": "not found"},
    ]
}


def test_a_known_fault_is_named_with_what_mends_it() -> None:
    assert read_audit(_REPORT, {}) == Audit(2, 1, ("bad 1.5: PYSEC-1 (fixed in 2.0)",))


@pytest.mark.parametrize("name", ["PYSEC-1", "CVE-1"])
def test_an_accepted_fault_is_left_out_by_any_of_its_names(name: str) -> None:
    assert read_audit(_REPORT, {name: "we do not call it"}).faults == ()


def test_faults_are_accepted_with_a_reason() -> None:
    assert accepted_faults("# of 2026\nCVE-1 not called # really\n\n") == {"CVE-1": "not called"}
    with pytest.raises(ValueError, match="CVE-2 is accepted without a reason"):
        accepted_faults("CVE-2\n")


@pytest.mark.parametrize(
    ("report", "arguments", "status"),
    [
        (_REPORT, [], 1),
        ({"dependencies": [_REPORT["dependencies"][0]]}, [], 0),
        ({"dependencies": [_REPORT["dependencies"][2]]}, [], 0),
        ({"dependencies": [_REPORT["dependencies"][2]]}, ["--strict"], 1),
    ],
)
def test_the_exit_status_tells_faults(
    monkeypatch: pytest.MonkeyPatch, report: dict[str, object], arguments: list[str], status: int
) -> None:
    monkeypatch.setattr(audit, "_ask", lambda: report)
    monkeypatch.setattr(audit, "_list_parts", lambda: None)
    assert main(arguments) == status
