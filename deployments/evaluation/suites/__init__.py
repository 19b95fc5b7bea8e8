"""Suites: what a repository's own YAML asks of a service, and whether the answers will do."""
