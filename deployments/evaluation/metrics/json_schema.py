"""Whether an answer is JSON that a schema allows."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from deployments.evaluation.cases import Score
from deployments.evaluation.metrics.metric import Metric, MetricInput
from deployments.evaluation.metrics.scoring import Judge, NotApplicable, one_by_one, shown
from deployments.json_schemas import SchemaFault, bounded_validator

__all__ = ["JSON_SCHEMA_METRICS", "json_fault", "schema_validator"]

_MESSAGE: Final = 500


def _json_schema(options: Mapping[str, Any]) -> Judge:
    fixed = schema_validator(options["schema"]) if "schema" in options else None

    def judge(answer: MetricInput) -> Score:
        validator = fixed or schema_validator(_read_schema(answer.reference))
        fault = json_fault(validator, answer.prediction)
        return Score(1.0) if fault is None else Score(0.0, detail=fault)

    return judge


def json_fault(validator: Any, text: str) -> dict[str, Any] | None:
    """Where `text` is not what the schema allows, and why; None where it is.

    Raises NotApplicable for a schema that refers to what it lacks, or never ends.
    """
    from jsonschema.exceptions import best_match

    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        return {"path": "$", "message": f"no JSON: {error}"}
    except RecursionError:
        return {"path": "$", "message": "nested too deeply"}
    worst = best_match(_errors(validator, value))
    return worst and {"path": worst.json_path, "message": worst.message[:_MESSAGE]}


def _read_schema(reference: Any) -> Any:
    """A template may have written the schema out as text."""
    if not isinstance(reference, str):
        return reference
    try:
        return json.loads(reference)
    except ValueError as error:
        raise NotApplicable(f"{shown(reference)} is no JSON schema: {error}.") from None


def schema_validator(schema: Any) -> Any:
    """A validator of the schema's own draft, else of 2020-12. Raises NotApplicable."""
    import jsonschema
    from jsonschema import validators

    if not isinstance(schema, Mapping | bool):
        raise NotApplicable(f"The reference must be a JSON schema, not {shown(schema)}.")
    draft = validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        draft.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise NotApplicable(f"No JSON schema, at {error.json_path}: {error.message}.") from None
    try:
        return bounded_validator(schema, draft)
    except SchemaFault as fault:
        raise NotApplicable(f"The schema: {fault}.") from None


def _errors(validator: Any, value: Any) -> Iterator[Any]:
    from referencing.exceptions import Unresolvable

    try:
        yield from validator.iter_errors(value)
    except Unresolvable as error:
        raise NotApplicable(f"The schema refers to {error.ref!r}, which it lacks.") from None
    except SchemaFault as fault:
        raise NotApplicable(f"The schema: {fault}.") from None
    except RecursionError:
        raise NotApplicable("The schema or the answer is nested too deeply.") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


JSON_SCHEMA_METRICS: Final = (
    Metric(
        "json_schema",
        "1 where the answer is JSON that the schema allows: the reference, or for all items the "
        "option `schema`; the detail says where it fails (package jsonschema).",
        one_by_one(_json_schema),
        binary=True,
        reference="schema",
        options={"schema": dict},
    ),
)
