"""Drift: windows of requests compared with a reference, by signal and by topic."""
