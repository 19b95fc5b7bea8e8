"""Deletion that reaches everywhere: of a document, and of a whole project."""
