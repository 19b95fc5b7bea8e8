"""A small local model that recognises attacks by what words mean together. See `recogniser.py`."""
