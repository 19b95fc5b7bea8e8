"""The sample corpus, and the script that wrote it."""
