"""What judges are told, in files."""

from pathlib import Path
from typing import Final

from deployments.prompts import PromptLibrary

__all__ = ["JUDGE_PROMPTS"]

JUDGE_PROMPTS: Final = PromptLibrary((Path(__file__).parent,))
"""The judges' prompts that come with Everloop."""
