"""Adapters, the aliases that point at them, and what lets an alias move."""
