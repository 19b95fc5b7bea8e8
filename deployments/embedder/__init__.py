"""Turns texts into vectors for everybody."""
