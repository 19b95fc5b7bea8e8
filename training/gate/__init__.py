"""The promotion gate: from a candidate, a champion and held-out data to a verdict and a report."""

from training.gate.evidence import Evidence
from training.gate.gate import run_gate
from training.gate.http_service import HttpService
from training.gate.report import Contender, GateReport
from training.gate.served import Served, ServedAnswer
from training.gate.settings import Bounds, GateSettings
from training.gate.verdict import Check, Verdict, decide

__all__ = [
    "Bounds",
    "Check",
    "Contender",
    "Evidence",
    "GateReport",
    "GateSettings",
    "HttpService",
    "Served",
    "ServedAnswer",
    "Verdict",
    "decide",
    "run_gate",
]
