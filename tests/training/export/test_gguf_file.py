"""A GGUF file read back by transformers is the model, tokenizer and template that went in."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tests.training.export.making import logits
from training.errors import ExportError
from training.export.gguf_file import Quantization, write_gguf
from training.export.gguf_vocabulary import splitting_of

TEXTS = [
    "The capital of France is",
    "  Grüße,\n\n\tWelt! 12345 ½ 🦙 it's don't",
    "<|im_start|>user\nsum <think>42</think><|im_end|>",
]
CORPUS = [
    "the capital of the city is the capital",
    "it is not what it was",
    "sum of 12 and 345",
] * 9
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def save_tokenizer(folder: Path, pre: pre_tokenizers.PreTokenizer) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=alphabet,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    fast.add_tokens(["<think>", "</think>"])
    fast.chat_template = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"
    fast.save_pretrained(folder)


def byte_level() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False)


def shape(**changes: Any) -> dict[str, Any]:
    options = {
        "vocab_size": 320,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "rope_theta": 5000.0,
        "initializer_range": 0.3,
        "tie_word_embeddings": False,
    }
    return options | changes


def save_llama(folder: Path, **changes: Any) -> Path:
    torch.manual_seed(1)
    LlamaForCausalLM(LlamaConfig(**shape(**changes))).save_pretrained(folder)
    save_tokenizer(folder, byte_level())
    return folder


def read_back(file: Path) -> torch.nn.Module:
    model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(
        str(file.parent),
        gguf_file=file.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    return model


def fields(file: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in GGUFReader(file).fields.items()}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("llama"))


@pytest.mark.parametrize("tied", [True, False])
def test_a_llama_comes_back_with_its_logits(tmp_path: Path, tied: bool) -> None:
    folder = save_llama(tmp_path / "hf", tie_word_embeddings=tied)
    write_gguf(folder, tmp_path / "m.gguf", name="tiny", quantization="f32")
    expected = logits(AutoModelForCausalLM.from_pretrained(folder))
    torch.testing.assert_close(logits(read_back(tmp_path / "m.gguf")), expected, atol=1e-4, rtol=0)


def test_qwen2_keeps_the_biases_of_its_attention(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = Qwen2ForCausalLM(Qwen2Config(**shape()))
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight)
    model.save_pretrained(tmp_path / "hf")
    save_tokenizer(tmp_path / "hf", byte_level())
    write_gguf(tmp_path / "hf", tmp_path / "m.gguf", name="tiny", quantization="f32")
    torch.testing.assert_close(
        logits(read_back(tmp_path / "m.gguf")), logits(model), atol=1e-4, rtol=0
    )


def test_qwen3_keeps_the_norms_of_its_heads(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = Qwen3ForCausalLM(Qwen3Config(**shape(head_dim=128)))
    for name, weight in model.named_parameters():
        if "_norm" in name:
            torch.nn.init.normal_(weight, mean=1, std=0.3)
    model.save_pretrained(tmp_path / "hf")
    save_tokenizer(tmp_path / "hf", byte_level())
    write_gguf(tmp_path / "hf", tmp_path / "m.gguf", name="tiny", quantization="f32")
    torch.testing.assert_close(
        logits(read_back(tmp_path / "m.gguf")), logits(model), atol=1e-4, rtol=0
    )
    assert fields(tmp_path / "m.gguf")["qwen3.attention.key_length"] == 128


@pytest.mark.parametrize(("quantization", "bound"), [("f16", 5e-3), ("q8_0", 0.05)])
def test_smaller_forms_come_back_close(
    llama: Path, tmp_path: Path, quantization: Quantization, bound: float
) -> None:
    write_gguf(llama, tmp_path / "f32.gguf", name="tiny", quantization="f32")
    write_gguf(llama, tmp_path / "m.gguf", name="tiny", quantization=quantization)
    expected = logits(AutoModelForCausalLM.from_pretrained(llama))
    found = logits(read_back(tmp_path / "m.gguf"))
    distance = ((found - expected).norm() / expected.norm()).item()
    assert 0 < distance < bound
    share = (tmp_path / "m.gguf").stat().st_size / (tmp_path / "f32.gguf").stat().st_size
    assert share < (0.6 if quantization == "f16" else 0.4)


def test_rows_that_blocks_do_not_fill_stay_in_f16(tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "hf", hidden_size=40, num_attention_heads=2)
    write_gguf(folder, tmp_path / "m.gguf", name="tiny", quantization="q8_0")
    kinds = {t.name: t.tensor_type.name for t in GGUFReader(tmp_path / "m.gguf").tensors}
    assert kinds["blk.0.ffn_up.weight"] == "F16"  # rows of 40
    assert kinds["blk.0.ffn_down.weight"] == "Q8_0"  # rows of 96
    assert kinds["output_norm.weight"] == "F32"


@pytest.mark.parametrize(
    ("pre", "architecture"),
    [
        (byte_level(), LlamaForCausalLM),
        (
            pre_tokenizers.Sequence(
                [
                    pre_tokenizers.Split(Regex(QWEN_WORDS), "isolated"),
                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                ]
            ),
            Qwen2ForCausalLM,
        ),
    ],
    ids=["gpt-2", "qwen2"],
)
def test_texts_become_the_same_tokens(
    tmp_path: Path, pre: pre_tokenizers.PreTokenizer, architecture: Any
) -> None:
    config = architecture.config_class(**shape())
    architecture(config).save_pretrained(tmp_path / "hf")
    save_tokenizer(tmp_path / "hf", pre)
    write_gguf(tmp_path / "hf", tmp_path / "m.gguf", name="tiny")
    before = AutoTokenizer.from_pretrained(tmp_path / "hf")
    after = AutoTokenizer.from_pretrained(str(tmp_path), gguf_file="m.gguf")
    for text in TEXTS:
        assert after.encode(text) == before.encode(text)
        assert after.decode(after.encode(text)) == text
    chat = [{"role": "user", "content": "hi"}]
    assert after.apply_chat_template(chat) == before.apply_chat_template(chat)
    names = ("bos_token", "eos_token", "pad_token")
    assert [getattr(after, n) for n in names] == [getattr(before, n) for n in names]


def test_the_file_says_what_it_holds(llama: Path, tmp_path: Path) -> None:
    write_gguf(llama, tmp_path / "m.gguf", name="tiny", quantization="q8_0")
    found = fields(tmp_path / "m.gguf")
    assert found["general.name"] == "tiny"
    assert found["general.file_type"] == 7
    assert found["llama.rope.freq_base"] == 5000.0
    assert found["llama.attention.head_count_kv"] == 2
    assert found["tokenizer.ggml.pre"] == "gpt-2"
    assert found["tokenizer.ggml.add_bos_token"] is False
    types = found["tokenizer.ggml.token_type"]
    tokens = found["tokenizer.ggml.tokens"]
    assert [types[tokens.index(t)] for t in ("<|im_end|>", "<think>", "a")] == [3, 4, 1]
    assert types[-1] == 5  # an embedding row that no token has
    assert "tokenizer.chat_template" in found


def test_llama_3_rope_is_written_as_divisors_of_frequencies(tmp_path: Path) -> None:
    rope = {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    changes = {"rope_parameters": rope, "hidden_size": 128}
    folder = save_llama(tmp_path / "hf", **changes)
    write_gguf(folder, tmp_path / "m.gguf", name="tiny")
    by_name = {t.name: t.data for t in GGUFReader(tmp_path / "m.gguf").tensors}
    factors = np.array(by_name["rope_freqs.weight"])
    assert factors.shape == (16,)
    assert factors[0] == pytest.approx(1)  # turns within 64 / 4 positions: kept
    assert factors[-1] == pytest.approx(8)  # turns in more than 64: slowed down by the factor
    assert all(np.diff(factors) >= -1e-5)


def test_other_architectures_are_refused_by_name(tmp_path: Path) -> None:
    GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=320)).save_pretrained(
        tmp_path / "hf"
    )
    with pytest.raises(ExportError, match=r"GPT2LMHeadModel.*LlamaForCausalLM, Qwen2ForCausalLM"):
        write_gguf(tmp_path / "hf", tmp_path / "m.gguf", name="tiny")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attention_bias": True}, "biases of the attention"),
        ({"mlp_bias": True}, "biases of the MLP"),
        ({"hidden_act": "gelu"}, "activation 'gelu'"),
        (
            {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
            "rope scaling 'linear'",
        ),
    ],
)
def test_what_gguf_has_no_word_for_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    folder = save_llama(tmp_path / "hf", **changes)
    with pytest.raises(ExportError, match=said):
        write_gguf(folder, tmp_path / "m.gguf", name="tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def pre_tokenizer(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(steps)}


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
SPLIT = {"type": "Split", "behavior": "Isolated", "invert": False}
THREE_DIGITS = QWEN_WORDS.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


@pytest.mark.parametrize(
    ("name", "tokenizer"),
    [
        ("gpt-2", {"pre_tokenizer": BYTES}),
        (
            "smollm",
            {"pre_tokenizer": pre_tokenizer({"type": "Digits", "individual_digits": True}, BYTES)},
        ),
        (
            "qwen2",
            {
                "pre_tokenizer": pre_tokenizer(
                    SPLIT | {"pattern": {"Regex": QWEN_WORDS}}, BYTES | {"use_regex": False}
                ),
                "normalizer": {"type": "NFC"},
            },
        ),
        (
            "llama-bpe",
            {
                "pre_tokenizer": pre_tokenizer(
                    SPLIT | {"pattern": {"Regex": THREE_DIGITS}}, BYTES | {"use_regex": False}
                ),
                "model": {"type": "BPE", "ignore_merges": True},
            },
        ),
    ],
)
def test_rules_of_splitting_are_recognised(name: str, tokenizer: dict[str, Any]) -> None:
    assert splitting_of({"model": {"type": "BPE"}} | tokenizer) == name


@pytest.mark.parametrize(
    "tokenizer",
    [
        {"pre_tokenizer": BYTES | {"add_prefix_space": True}},
        {"pre_tokenizer": BYTES, "normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": pre_tokenizer({"type": "Digits", "individual_digits": False}, BYTES)},
        {"pre_tokenizer": pre_tokenizer(SPLIT | {"pattern": {"Regex": "x"}}, BYTES)},
        {"pre_tokenizer": None},
        {"pre_tokenizer": BYTES, "model": {"type": "BPE", "byte_fallback": True}},
        {"pre_tokenizer": BYTES, "model": {"type": "Unigram"}},
    ],
)
def test_rules_without_a_name_are_refused(tokenizer: dict[str, Any]) -> None:
    with pytest.raises(ExportError, match=r"GGUF.*Byte-level BPE.*--to hf"):
        splitting_of({"model": {"type": "BPE"}} | tokenizer)


def test_a_tokenizer_larger_than_the_embedding_is_refused(tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "hf", vocab_size=200)
    with pytest.raises(ExportError, match=r"tokenizer has 29\d tokens, the model embeds 200"):
        write_gguf(folder, tmp_path / "m.gguf", name="tiny")


def test_values_that_float16_cannot_hold_are_refused(tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "hf")
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.lm_head.weight.data.mul_(1e6)
    model.save_pretrained(folder)
    with pytest.raises(ExportError, match=r"output.weight.*--quantization"):
        write_gguf(folder, tmp_path / "m.gguf", name="tiny", quantization="f16")
    assert not (tmp_path / "m.gguf").exists()


def test_weights_in_several_files_are_all_taken(llama: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(llama)
    model.save_pretrained(tmp_path / "hf", max_shard_size="100KB")
    AutoTokenizer.from_pretrained(llama).save_pretrained(tmp_path / "hf")
    index = json.loads((tmp_path / "hf" / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 1
    write_gguf(tmp_path / "hf", tmp_path / "m.gguf", name="tiny", quantization="f32")
    torch.testing.assert_close(
        logits(read_back(tmp_path / "m.gguf")), logits(model), atol=1e-4, rtol=0
    )


@pytest.mark.slow
def test_the_packaged_model_goes_on_with_the_same_words(tmp_path: Path) -> None:
    from cluster.models import ensure_model
    from cluster.settings import load_settings

    folder = ensure_model("packaged:smollm2-135m-instruct", load_settings().cache_dir)
    write_gguf(folder, tmp_path / "m.gguf", name="SmolLM2 135M Instruct", quantization="q8_0")
    before = AutoTokenizer.from_pretrained(folder)
    after = AutoTokenizer.from_pretrained(str(tmp_path), gguf_file="m.gguf")
    lines = (Path(__file__).parents[3] / "README.md").read_text().splitlines()
    assert [after.encode(line) for line in lines] == [before.encode(line) for line in lines]
    prompt = before("The capital of France is", return_tensors="pt")
    answers = [
        model.generate(**prompt, max_new_tokens=20, do_sample=False)[0].tolist()
        for model in (AutoModelForCausalLM.from_pretrained(folder), read_back(tmp_path / "m.gguf"))
    ]
    assert answers[1] == answers[0]
    assert "Paris" in before.decode(answers[0])
