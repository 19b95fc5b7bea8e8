"""What is wrong with this machine or cluster, and what to do about it."""

from cluster.doctor.check import Check
from cluster.doctor.diagnosis import diagnose, fatal_checks

__all__ = ["Check", "diagnose", "fatal_checks"]
