"""Requests that name themselves are carried out once."""
