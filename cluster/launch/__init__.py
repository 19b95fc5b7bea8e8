"""Start, inspect and stop an Everloop on this machine."""
