"""Fine-tuning jobs and gate runs as rows: who takes one, what it writes, and how it ends."""
