"""A byte-level BPE tokenizer in GGUF's terms.

GGUF does not hold a tokenizer's rules for cutting text into words, only a name for them
(`tokenizer.ggml.pre`), so the rules in `tokenizer.json` are recognised, and unknown ones refused.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from training.errors import ExportError

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from transformers import PreTrainedTokenizerFast

__all__ = ["add_vocabulary", "splitting_of"]

_WORDS: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS: Final = {_WORDS % r"\p{N}{1,3}": "llama-bpe", _WORDS % r"\p{N}": "qwen2"}
_SUPPORTED: Final = "Byte-level BPE tokenizers of GPT-2, SmolLM, Llama 3 and Qwen are supported"
_SPECIAL: Final = ("bos", "eos", "unk", "pad")


def add_vocabulary(writer: "GGUFWriter", folder: Path, size: int) -> None:
    """Write the tokenizer in `folder` for a model of `size` embedding rows.

    Raises ExportError for a tokenizer that GGUF has no name for.
    """
    from gguf import SpecialVocab, TokenType
    from transformers import AutoTokenizer

    pre = splitting_of(json.loads((folder / "tokenizer.json").read_text()))
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    tokens = {index: token for token, index in tokenizer.get_vocab().items()}
    if tokens and max(tokens) >= size:
        raise ExportError(
            f"The tokenizer has {max(tokens) + 1} tokens, the model embeds {size}.",
            fix="Export with --to hf, and check that adapter, base and tokenizer belong together.",
        )
    added = tokenizer.added_tokens_decoder
    kinds = [
        TokenType.UNUSED
        if index not in tokens
        else TokenType.NORMAL
        if index not in added
        else TokenType.CONTROL
        if added[index].special
        else TokenType.USER_DEFINED
        for index in range(size)
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([tokens.get(index, f"[PAD{index}]") for index in range(size)])
    writer.add_token_types(kinds)
    # It also reads special tokens, but from files that may say otherwise than the tokenizer does.
    vocabulary = SpecialVocab(folder, load_merges=True, special_token_types=())
    vocabulary.special_token_ids = _special_ids(tokenizer)
    vocabulary.add_special_token = _added_by_itself(tokenizer)
    vocabulary.chat_template = tokenizer.chat_template
    vocabulary.add_to_gguf(writer, quiet=True)


def splitting_of(tokenizer: dict[str, Any]) -> str:
    """GGUF's name for how `tokenizer` (the content of tokenizer.json) cuts text into words."""
    model, normalizer = tokenizer["model"], tokenizer.get("normalizer")
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise ExportError(
            f"A tokenizer of type {model.get('type')}"
            f"{' with byte fallback' if model.get('byte_fallback') else ''} cannot be put into "
            "GGUF.",
            fix=f"{_SUPPORTED}; or export with --to hf.",
        )
    name = _name_of(_steps(tokenizer.get("pre_tokenizer")))
    # What each name makes llama.cpp do besides.
    normal = normalizer is None or (name == "qwen2" and normalizer.get("type") == "NFC")
    if name is None or not normal or bool(model.get("ignore_merges")) != (name == "llama-bpe"):
        raise ExportError(
            "The tokenizer cuts text into words in a way that GGUF has no name for.",
            fix=f"{_SUPPORTED}; or export with --to hf.",
        )
    return name


def _steps(pre_tokenizer: dict[str, Any] | None) -> list[dict[str, Any]]:
    if pre_tokenizer is None:
        return []
    if pre_tokenizer["type"] == "Sequence":
        return list(pre_tokenizer["pretokenizers"])
    return [pre_tokenizer]


def _name_of(steps: list[dict[str, Any]]) -> str | None:
    if not steps or steps[-1]["type"] != "ByteLevel" or steps[-1].get("add_prefix_space"):
        return None
    by_regex = steps[-1].get("use_regex", True)
    if len(steps) == 1:
        return "gpt-2" if by_regex else None
    first = steps[0]
    if len(steps) != 2:
        return None
    if first["type"] == "Digits" and first["individual_digits"] and by_regex:
        return "smollm"
    if first["type"] == "Split" and not by_regex and first["behavior"] == "Isolated":
        return _SPLITS.get(first["pattern"].get("Regex", ""))
    return None


def _special_ids(tokenizer: "PreTrainedTokenizerFast") -> dict[str, int]:
    ids = {kind: getattr(tokenizer, f"{kind}_token_id") for kind in _SPECIAL}
    return {kind: index for kind, index in ids.items() if index is not None}


def _added_by_itself(tokenizer: "PreTrainedTokenizerFast") -> dict[str, bool]:
    """Whether the tokenizer puts a first and a last token around any text; asked, not read."""
    ids = tokenizer.encode("a")
    return {
        "bos": tokenizer.bos_token_id is not None and ids[:1] == [tokenizer.bos_token_id],
        "eos": tokenizer.eos_token_id is not None and ids[-1:] == [tokenizer.eos_token_id],
    }
