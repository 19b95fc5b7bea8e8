"""Grounding: passages become a prompt, and an answer becomes citations."""
