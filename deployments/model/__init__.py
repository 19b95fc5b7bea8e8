"""The chat models: vLLM behind `ray.serve.llm`."""
