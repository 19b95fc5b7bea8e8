"""Models that judge: verdicts in a grammar, what they are worth, and who may decide by them."""
