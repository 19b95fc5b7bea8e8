"""The prompt registry's bodies and objects, and what its routes do in one transaction."""
