"""Data to adapters: examples, curation, tokens, and the training loop on Ray Train.

`training.job` is where a run begins; `training.loop` is what every worker of it does.
"""
