"""Test sets made of the user's own documents, marked as synthetic in every row."""
