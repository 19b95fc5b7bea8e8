"""`fine_tuning.jobs` of the OpenAI API: from a request to the settings of a training run."""
