"""`evals` of the OpenAI API: from requests to rows, and from rows to objects."""
