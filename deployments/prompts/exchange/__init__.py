"""Prompts from and to other formats. What cannot be said is an error, never left out in silence."""
