"""Runs of evals: items as a queue in the records, answered, graded and added up."""
