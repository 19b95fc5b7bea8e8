"""Errors of prompts.

EverloopError
└── PromptError         a prompt is missing, malformed, or cannot be rendered
    ├── VariableError   a value of a prompt's variable is missing, unknown or of another type
    └── ExchangeError   a template of another format says what a prompt here cannot, or the reverse
"""

from cluster.errors import EverloopError

__all__ = ["ExchangeError", "PromptError", "VariableError"]


class PromptError(EverloopError):
    """A prompt is missing, malformed, or cannot be rendered."""


class VariableError(PromptError):
    """A value of a prompt's variable is missing, unknown or of another type."""

    def __init__(self, message: str, *, variable: str = "", fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.variable = variable
        """The first variable that is wrong."""


class ExchangeError(PromptError):
    """A template of another format says what a prompt here cannot, or the reverse."""
