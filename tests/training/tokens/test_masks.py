"""Which tokens carry loss, as text, under each family's chat template."""

from typing import TYPE_CHECKING, Any

import pytest

from tests.training.tokens.template_files import tokenizer_of
from training.errors import ExampleError
from training.examples import ChatExample, Message, PreferenceExample, TextExample
from training.tokens import Tokenized

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SYSTEM = {"role": "system", "content": "Be brief."}
FIRST = {"role": "user", "content": "Where is Turin?"}
SAID = {"role": "assistant", "content": "In Italy."}
SECOND = {"role": "user", "content": "And  Kyōto 🏯?"}
LAST = {"role": "assistant", "content": "Japan, in 日本."}


def chat(*messages: Message, weights: tuple[float, ...] | None = None) -> ChatExample:
    if weights is None:
        weights = tuple(float(message["role"] == "assistant") for message in messages)
    return ChatExample(messages, weights)


def shown(plain: "PreTrainedTokenizerFast", document: Tokenized) -> str:
    """The text, with what carries loss in «…»."""
    pieces: list[tuple[bool, list[int]]] = []
    for token, weight in zip(document.input_ids, document.loss, strict=True):
        if not pieces or pieces[-1][0] != bool(weight):
            pieces.append((bool(weight), []))
        pieces[-1][1].append(token)
    texts = ((carries, plain.decode(tokens)) for carries, tokens in pieces)
    return "".join(f"«{text}»" if carries else text for carries, text in texts)


SNAPSHOTS = {
    "smollm2": [
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nWhere is Turin?<|im_end|>\n"
        "<|im_start|>assistant\n«In Italy.<|im_end|>»\n"
        "<|im_start|>user\nAnd  Kyōto 🏯?<|im_end|>\n"
        "<|im_start|>assistant\n«Japan, in 日本.<|im_end|>»\n"
    ],
    "llama3": [
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nWhere is Turin?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n«In Italy.<|eot_id|>»"
        "<|start_header_id|>user<|end_header_id|>\n\nAnd  Kyōto 🏯?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n«Japan, in 日本.<|eot_id|>»"
    ],
    "qwen": [
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nWhere is Turin?<|im_end|>\n"
        "<|im_start|>assistant\n«<think>\n\n</think>\n\nIn Italy.<|im_end|>»\n",
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nWhere is Turin?<|im_end|>\n"
        "<|im_start|>assistant\nIn Italy.<|im_end|>\n"
        "<|im_start|>user\nAnd  Kyōto 🏯?<|im_end|>\n"
        "<|im_start|>assistant\n«<think>\n\n</think>\n\nJapan, in 日本.<|im_end|>»\n",
    ],
    "mistral": [
        "<s>[INST] Be brief.\n\nWhere is Turin?[/INST]« In Italy.</s>»",
        "<s>[INST] Where is Turin?[/INST] In Italy.</s>"
        "[INST] Be brief.\n\nAnd  Kyōto 🏯?[/INST]« Japan, in 日本.</s>»",
    ],
    "gemma": [
        "<bos><start_of_turn>user\nBe brief.\n\nWhere is Turin?<end_of_turn>\n"
        "<start_of_turn>model\n«In Italy.<end_of_turn>»\n"
        "<start_of_turn>user\nAnd  Kyōto 🏯?<end_of_turn>\n"
        "<start_of_turn>model\n«Japan, in 日本.<end_of_turn>»\n"
    ],
}
"""Qwen drops the reasoning of earlier turns, Mistral moves the system prompt: a text per turn."""


@pytest.mark.parametrize("family", SNAPSHOTS)
def test_loss_falls_on_the_assistants_words_and_their_end(family: str) -> None:
    ours, plain = tokenizer_of(family)
    samples = ours.samples(chat(SYSTEM, FIRST, SAID, SECOND, LAST))
    assert [shown(plain, sample[0]) for sample in samples] == SNAPSHOTS[family]


@pytest.mark.parametrize("family", SNAPSHOTS)
def test_pieces_are_the_text_as_it_was_rendered_with_its_loss(family: str) -> None:
    ours, _ = tokenizer_of(family)
    samples = ours.pieces(chat(SYSTEM, FIRST, SAID, SECOND, LAST))
    texts = [
        "".join(f"«{text}»" if loss else text for text, loss in pieces) for (pieces,) in samples
    ]
    assert texts == SNAPSHOTS[family]


@pytest.mark.parametrize("family", SNAPSHOTS)
def test_the_tokens_are_those_of_the_whole_text(family: str) -> None:
    ours, plain = tokenizer_of(family)
    messages = [SYSTEM, FIRST, SAID, SECOND, LAST]
    (document,) = ours.samples(chat(*messages))[-1]
    whole = plain.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]
    assert list(document.input_ids) == whole


@pytest.mark.parametrize("family", SNAPSHOTS)
def test_what_precedes_the_loss_is_what_the_model_is_given(family: str) -> None:
    ours, plain = tokenizer_of(family)
    (sample,) = ours.samples(chat(SYSTEM, FIRST, LAST))
    given = plain.apply_chat_template([SYSTEM, FIRST], tokenize=False, add_generation_prompt=True)
    first = sample[0].loss.index(1.0)
    assert plain.decode(sample[0].input_ids[:first]) == given


def test_a_turn_of_weight_zero_carries_no_loss() -> None:
    ours, plain = tokenizer_of("smollm2")
    (sample,) = ours.samples(chat(SYSTEM, FIRST, SAID, SECOND, LAST, weights=(0, 0, 0, 0, 1)))
    text = shown(plain, sample[0])
    assert text.count("«") == 1
    assert "«Japan, in 日本.<|im_end|>»" in text


def test_a_turns_weight_is_its_tokens_weight() -> None:
    ours, _ = tokenizer_of("smollm2")
    (sample,) = ours.samples(chat(FIRST, SAID, SECOND, LAST, weights=(0, 0.25, 0, 1)))
    assert {weight for weight in sample[0].loss if weight} == {0.25, 1.0}


def test_tools_and_tool_calls_are_rendered_as_in_serving() -> None:
    ours, plain = tokenizer_of("qwen")
    call = {"function": {"name": "find", "arguments": '{"city": "Turin"}'}, "type": "function"}
    messages: tuple[dict[str, Any], ...] = (
        FIRST,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "Italy", "tool_call_id": "1"},
        SAID,
    )
    example = ChatExample(messages, (0, 1, 0, 1), ({"type": "function"},))
    (sample,) = ours.samples(example)
    text = shown(plain, sample[0])
    assert '{"type": "function"}' in text
    called = '<tool_call>\n{"name": "find", "arguments": {"city": "Turin"}}\n</tool_call>'
    assert f"«<think>\n\n</think>\n\n{called}<|im_end|>»" in text
    assert text.endswith("«<think>\n\n</think>\n\nIn Italy.<|im_end|>»\n")


def test_a_completion_carries_loss_with_its_end_of_text() -> None:
    ours, plain = tokenizer_of("smollm2")
    (sample,) = ours.samples(TextExample("2 + 2 =", " 4"))
    assert shown(plain, sample[0]) == "2 + 2 =« 4<|im_end|>»"


def test_a_preference_is_two_documents_over_one_prompt() -> None:
    ours, plain = tokenizer_of("smollm2")
    example = PreferenceExample((FIRST,), (SAID,), ({"role": "assistant", "content": "Dunno."},))
    ((chosen, rejected),) = ours.samples(example)
    assert shown(plain, chosen).endswith("assistant\n«In Italy.<|im_end|>»\n")
    assert shown(plain, rejected).endswith("assistant\n«Dunno.<|im_end|>»\n")


def test_a_conversation_that_the_template_refuses_is_named() -> None:
    ours, _ = tokenizer_of("mistral")
    with pytest.raises(ExampleError, match=r"Example 2: .*user, user.*alternate"):
        ours.all([chat(FIRST, SAID), chat(FIRST, SECOND, LAST)])


def test_a_template_that_breaks_its_own_promise_is_refused() -> None:
    ours, plain = tokenizer_of("smollm2")
    plain.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n<think>{% endif %}"
    )
    with pytest.raises(ExampleError, match="message 2, the assistant's, does not go on"):
        ours.samples(chat(FIRST, SAID))


def test_content_that_is_no_text_is_refused() -> None:
    ours, _ = tokenizer_of("smollm2")
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
    with pytest.raises(ExampleError, match="only text"):
        ours.samples(chat(picture, SAID))


def test_a_cut_keeps_the_beginning_and_is_counted() -> None:
    ours, _ = tokenizer_of("smollm2")
    whole, _ = ours.all([chat(FIRST, LAST)])
    first = whole[0][0].loss.index(1.0)
    cut, counts = ours.all([chat(FIRST, LAST)], longest=first + 1)
    assert cut[0][0] == whole[0][0].first(first + 1)
    assert (counts.samples, counts.truncated, counts.without_loss) == (1, 1, 0)
    assert counts.longest == len(whole[0][0])


def test_a_sample_that_the_cut_leaves_without_loss_is_left_out_and_counted() -> None:
    ours, _ = tokenizer_of("smollm2")
    whole, _ = ours.all([chat(FIRST, LAST)])
    first = whole[0][0].loss.index(1.0)
    kept, counts = ours.all([chat(FIRST, LAST)], longest=first)
    assert kept == []
    assert (counts.truncated, counts.without_loss, counts.trained_tokens) == (1, 1, 0)
