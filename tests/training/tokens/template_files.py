"""The packaged tokenizer under the chat templates of other families, with their special tokens."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from cluster.models import ensure_model
from cluster.settings import load_settings
from training.tokens import ExampleTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["FAMILIES", "packaged_folder", "tokenizer_of"]

TEMPLATES: Final = Path(__file__).parent / "templates"
FAMILIES: Final = {
    "llama3": ("<|begin_of_text|>", "<|eot_id|>", ("<|start_header_id|>", "<|end_header_id|>")),
    "qwen": ("<|endoftext|>", "<|im_end|>", ("<|im_start|>",)),
    "mistral": ("<s>", "</s>", ("[INST]", "[/INST]")),
    "gemma": ("<bos>", "<eos>", ("<start_of_turn>", "<end_of_turn>")),
}
"""Beginning of text, end of turn or text, and further special tokens of each family."""


def packaged_folder() -> Path:
    """The packaged chat model."""
    return ensure_model("packaged:smollm2-135m-instruct", load_settings().cache_dir)


def tokenizer_of(family: str) -> tuple[ExampleTokenizer, "PreTrainedTokenizerFast"]:
    """`smollm2` as it is; another family's template and special tokens on the same vocabulary."""
    from transformers import AutoTokenizer

    plain = AutoTokenizer.from_pretrained(packaged_folder())
    if family != "smollm2":
        begin, end, others = FAMILIES[family]
        plain.add_special_tokens(
            {"bos_token": begin, "eos_token": end, "additional_special_tokens": list(others)}
        )
        plain.chat_template = (TEMPLATES / f"{family}.jinja").read_text()
    return ExampleTokenizer(plain), plain
