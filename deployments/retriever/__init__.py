"""Finds passages of live documents."""
