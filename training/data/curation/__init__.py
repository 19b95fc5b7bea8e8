"""A dataset made fit to train on, and a receipt of what that took.

Stages of one row (`lengths`, `languages`, `contamination`, `personal_data`) mark it (`marking`);
over all marks one process decides what is a duplicate and what is held out (`deciding`). `pipeline`
does both in one process, `bulk` marks on a cluster with Ray Data.
"""
