"""Errors of the prompt files.

EverloopError
└── PromptError   a prompt file is missing, malformed, or rendered without one of its variables
"""

from cluster.errors import EverloopError

__all__ = ["PromptError"]


class PromptError(EverloopError):
    """A prompt file is missing, malformed, or rendered without one of its variables."""
