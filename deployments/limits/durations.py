"""Durations as OpenAI's headers write them: `250ms`, `8.64s`, `6m0s`, `1h0m5s`."""

__all__ = ["openai_duration"]


def openai_duration(seconds: float) -> str:
    """`seconds`, which are not negative, in the format of OpenAI's `x-ratelimit-reset-*`."""
    milliseconds = round(seconds * 1000)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    if round(seconds, 2) < 60:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + "s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"
