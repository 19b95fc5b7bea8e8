"""The Trainer: starts fine-tuning jobs and gate runs on the cluster, and lets serving go first."""
