"""Prompts live in files and in the records, not in code."""

from deployments.prompts.errors import PromptError, VariableError
from deployments.prompts.library import PROMPTS, PromptLibrary
from deployments.prompts.prompt import Prompt

__all__ = ["PROMPTS", "Prompt", "PromptError", "PromptLibrary", "VariableError"]
