"""JSON schemas of strangers: their patterns match in bounded time, and they fetch nothing.

The package jsonschema matches `pattern`, `patternProperties` and, through these,
`additionalProperties` with `re`, which some patterns keep busy for ever.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["MATCH_SECONDS", "PATTERN_CHARACTERS", "SchemaFault", "bounded_validator", "search"]

PATTERN_CHARACTERS: Final = 1000
"""Longest pattern that is compiled."""
MATCH_SECONDS: Final = 2.0
"""How long one match may take."""
_SHOWN: Final = 200


class SchemaFault(ValueError):
    """A schema cannot be held against a value: the message says why."""


def search(pattern: str, text: str) -> Any:
    """Find the pattern, in the syntax of the package regex; None where it is not there.

    Raises SchemaFault: no pattern, too long, or not done within `MATCH_SECONDS`.
    """
    import regex

    shown = repr(pattern[:_SHOWN])
    if len(pattern) > PATTERN_CHARACTERS:
        raise SchemaFault(f"the pattern {shown} is longer than {PATTERN_CHARACTERS} characters")
    try:
        return regex.search(pattern, text, timeout=MATCH_SECONDS, concurrent=True)
    except regex.error as error:
        raise SchemaFault(f"{shown} is no pattern: {error}") from None
    except TimeoutError:
        raise SchemaFault(f"the pattern {shown} took longer than {MATCH_SECONDS:g} s") from None


def bounded_validator(schema: Mapping[str, Any] | bool, draft: Any) -> Any:
    """A validator of the schema by the draft's rules. Raises SchemaFault, as its checks do."""
    from jsonschema import validators
    from referencing import Registry

    named = set(_keywords(schema))
    if {"unevaluatedProperties", "patternProperties"} <= named:
        raise SchemaFault("unevaluatedProperties beside patternProperties is not offered")
    bounded = validators.extend(
        draft,
        {
            "pattern": _pattern,
            "patternProperties": _pattern_properties,
            "additionalProperties": _additional_properties,
        },
    )
    # An own, empty registry: the default one fetches what a `$ref` names, from wherever that is.
    return bounded(schema, registry=Registry())


def _keywords(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from value
        for inner in value.values():
            yield from _keywords(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keywords(inner)


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(instance, str) and search(pattern, instance) is None:
        yield ValidationError(f"{instance[:_SHOWN]!r} does not match {pattern[:_SHOWN]!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: Any, _schema: Any
) -> Iterator[Any]:
    if not isinstance(instance, Mapping):
        return
    for pattern, inner in patterns.items():
        for name, value in instance.items():
            if search(pattern, name) is not None:
                yield from validator.descend(value, inner, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any, allowed: Any, instance: Any, schema: Mapping[str, Any]
) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not isinstance(instance, Mapping):
        return
    patterns = schema.get("patternProperties", {})
    for name in instance.keys() - schema.get("properties", {}).keys():
        if any(search(pattern, name) is not None for pattern in patterns):
            continue
        if allowed is False:
            yield ValidationError(f"Additional properties are not allowed ({name!r})")
        else:
            yield from validator.descend(instance[name], allowed, path=name)
