"""OpenAI's responses: what a request holds, the object it becomes, and its stream of events."""
