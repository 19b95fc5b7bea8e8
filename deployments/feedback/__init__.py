"""Feedback on answers, and the training rows that it leads to."""
