"""Where Everloop runs: settings, records, bytes, model sources and the command line."""
