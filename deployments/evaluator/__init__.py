"""The Evaluator: scores answers from their traces, off the hot path."""
