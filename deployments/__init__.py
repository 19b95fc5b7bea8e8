"""What answers: a folder per deployment, each a thin Serve shell over plain classes."""
