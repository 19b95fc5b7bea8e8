"""The sections of the settings tree, a file for each part of the system."""
