"""Is what is served what was trained? Log-probabilities on fixed prompts, and the chat template."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from training.adapters import Precision
from training.errors import ExampleError, GateError
from training.examples import ChatExample
from training.gate.evidence import Parity, Probe
from training.gate.items import Expected, HeldOut, expected_tokens
from training.gate.local_weights import Series, local_log_probabilities
from training.gate.probes import FIXED
from training.gate.served import Served
from training.tokens import ExampleTokenizer

__all__ = ["measure_parity"]


class _Prompt(NamedTuple):
    name: str
    example: ChatExample | None
    """None where there is no conversation, but a text."""
    expected: Expected


def measure_parity(
    service: Served,
    model: str,
    items: Sequence[HeldOut],
    tokenizer: ExampleTokenizer,
    base_folder: Path,
    adapter_folder: Path | None,
    precision: Precision = "fp32",
) -> Parity:
    """Compare the served `model` with the adapter on its base, on FIXED and on `items`.

    Raises EverloopError where one of them cannot be asked or read.
    """
    prompts = _prompts(items, tokenizer)
    local = local_log_probabilities(
        base_folder, adapter_folder, [prompt.expected for prompt in prompts], precision
    )
    probes = []
    for place, prompt in enumerate(prompts):
        trained = local.trained[place]
        ids = (*prompt.expected.prompt, *prompt.expected.answer)
        served = service.log_probabilities(model, ids, len(prompt.expected.prompt))
        note = _template_note(service, model, prompt, tokenizer)
        probes.append(
            Probe(
                name=prompt.name,
                tokens=len(prompt.expected.answer),
                merged=_apart(trained, local.merged[place]) if local.merged else None,
                served=_apart(trained, served),
                adapter_effect=_apart(trained, local.base[place]) if local.base else None,
                same_template=None if note is None else not note,
                template_note=note or "",
            )
        )
    return Parity(
        probes=tuple(probes),
        merged=max((p.merged for p in probes if p.merged is not None), default=None),
        served=max(probe.served for probe in probes),
        adapter_effect=max(
            (p.adapter_effect for p in probes if p.adapter_effect is not None), default=None
        ),
        templates_checked=sum(probe.same_template is not None for probe in probes),
        templates_differ=sum(probe.same_template is False for probe in probes),
    )


def _prompts(items: Sequence[HeldOut], tokenizer: ExampleTokenizer) -> list[_Prompt]:
    found = []
    for number, example in enumerate(FIXED, start=1):
        try:
            expected = expected_tokens(tokenizer, HeldOut(number, example, ""))
        except ExampleError:
            continue  # a template without a system role, say: the service would refuse it too
        found.append(_Prompt(f"fixed {number}", example, expected))
    for item in items:
        example_of = item.example if isinstance(item.example, ChatExample) else None
        found.append(_Prompt(f"item {item.number}", example_of, expected_tokens(tokenizer, item)))
    return found


def _template_note(
    service: Served, model: str, prompt: _Prompt, tokenizer: ExampleTokenizer
) -> str | None:
    """Where the two renderings part; empty where they are equal, None without a conversation."""
    if prompt.example is None:
        return None
    asked, tools = prompt.example.messages[:-1], prompt.example.tools
    ours = tokenizer.prompt_ids(asked, tools)
    theirs = service.rendered(model, asked, tools)
    if ours == theirs:
        return ""
    pairs = zip(ours, theirs, strict=False)
    same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(theirs)))
    return (
        f"{len(ours)} tokens in training, {len(theirs)} in service; they part at token {same + 1}: "
        f"{tokenizer.text_of(ours[same : same + 8])!r} in training, "
        f"{tokenizer.text_of(theirs[same : same + 8])!r} in service."
    )


def _apart(one: Series, other: Series) -> float:
    found = max(abs(a - b) for a, b in zip(one, other, strict=True))
    if not all(map(math.isfinite, (*one, *other))):
        raise GateError(
            "A log-probability is no finite number.", fix="Look for NaN in the weights."
        )
    return found
