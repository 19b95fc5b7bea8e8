"""Prompts live in files here, not in code."""

from deployments.prompts.errors import PromptError
from deployments.prompts.library import PROMPTS, Prompt, PromptLibrary

__all__ = ["PROMPTS", "Prompt", "PromptError", "PromptLibrary"]
