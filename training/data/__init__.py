"""Files into examples: read, checked, looked at and curated."""
