"""Experiments over HTTP: bodies, objects, and the pinning of their arms."""
