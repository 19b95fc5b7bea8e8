"""Hostile input, made up from a seed: requests for every route, files for every loader."""
