"""The running system, driven by the official `openai` client only."""
