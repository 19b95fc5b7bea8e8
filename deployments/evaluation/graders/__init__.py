"""What decides about an answer: the openai client's graders, and ours."""
