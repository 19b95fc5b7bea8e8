"""The HTTP front: OpenAI's API over the other deployments."""
