"""A Hugging Face folder as one GGUF file, which llama.cpp and its kin load.

Weights are read, arranged and written one at a time, so a model larger than memory passes through.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from training.errors import ExportError
from training.export.gguf_architectures import Architecture, architecture_of, rope_factors
from training.export.gguf_vocabulary import add_vocabulary
from training.export.lineage import read_lineage
from training.export.target import new_file

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFWriter

__all__ = ["QUANTIZATIONS", "Quantization", "write_gguf"]

Quantization = Literal["f32", "f16", "q8_0"]
QUANTIZATIONS: Final[tuple[Quantization, ...]] = get_args(Quantization)
_BLOCK: Final = 32
"""Weights that share a scale in q8_0."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    kind: Quantization
    read: "Callable[[], np.ndarray[Any, Any]]"
    """In float32."""


def write_gguf(
    folder: Path,
    target: Path,
    *,
    name: str,
    quantization: Quantization = "f16",
    force: bool = False,
    report: Callable[[str], None] = lambda _step: None,
) -> None:
    """Write model, tokenizer and chat template of `folder` to the file `target`.

    `name` is what the file calls the model. Vectors stay in float32; under q8_0 a matrix whose rows
    are no multiple of 32 long is kept in f16. Raises ExportError for what GGUF cannot hold.
    """
    from gguf import GGUFWriter
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ExportError(f"{folder} holds no model: {error}") from error
    architecture = architecture_of(config)
    report(f"writing {target} as {quantization}")
    with ExitStack() as opened, new_file(target, force=force) as work:
        writer = GGUFWriter(work, architecture.name)
        opened.callback(writer.close)
        _describe(writer, folder, name, quantization)
        architecture.describe(writer, config)
        add_vocabulary(writer, folder, config.vocab_size)
        tensors = list(_tensors(folder, architecture, config, quantization, opened))
        for tensor in tensors:
            _announce(writer, tensor)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in tensors:
            writer.write_tensor_data(_encoded(tensor))
        writer.close()


def _describe(writer: "GGUFWriter", folder: Path, name: str, quantization: Quantization) -> None:
    from gguf import GGML_QUANT_VERSION, GGUFType, LlamaFileType

    kinds = {
        "f32": LlamaFileType.ALL_F32,
        "f16": LlamaFileType.MOSTLY_F16,
        "q8_0": LlamaFileType.MOSTLY_Q8_0,
    }
    writer.add_type(GGUFType.MODEL)
    writer.add_name(name)
    writer.add_file_type(kinds[quantization])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    if (lineage := read_lineage(folder)) is None:
        return
    writer.add_description(f"{lineage.base} with the {lineage.method} adapter {lineage.adapter}")
    if lineage.licence:
        writer.add_license(lineage.licence)


def _tensors(
    folder: Path,
    architecture: Architecture,
    config: Any,
    quantization: Quantization,
    opened: ExitStack,
) -> Iterator[_Tensor]:
    """Every weight by its GGUF name, still unread."""
    from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, get_tensor_name_map
    from safetensors import SafetensorError, safe_open

    by_name: dict[str, Any] = {text: arch for arch, text in MODEL_ARCH_NAMES.items()}
    arch: MODEL_ARCH = by_name[architecture.name]
    names = get_tensor_name_map(arch, config.num_hidden_layers)
    if (factors := rope_factors(config)) is not None:
        yield _Tensor("rope_freqs.weight", factors.shape, "f32", lambda: factors)
    for path in _weight_files(folder):
        try:
            weights = opened.enter_context(safe_open(path, framework="pt"))
        except SafetensorError as error:
            raise ExportError(f"{path} is damaged: {error}.") from error
        for name in sorted(weights.keys()):
            if name == "lm_head.weight" and config.tie_word_embeddings:
                continue
            if name.endswith("rotary_emb.inv_freq"):  # old checkpoints hold what follows from theta
                continue
            if (found := names.get_name(name, try_suffixes=(".weight", ".bias"))) is None:
                raise ExportError(
                    f"GGUF's {architecture.name} has no place for the weight {name}.",
                    fix="Export with --to hf.",
                )
            shape = tuple(weights.get_slice(name).get_shape())

            def read(weights: Any = weights, name: str = name) -> "np.ndarray[Any, Any]":
                weight = architecture.arrange(name, weights.get_tensor(name).float(), config)
                array: np.ndarray[Any, Any] = weight.contiguous().numpy()
                return array

            yield _Tensor(found, shape, _kind(shape, quantization), read)


def _weight_files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise ExportError(
            f"{folder} has no weights (model*.safetensors).",
            fix="Give a folder as save_pretrained writes.",
        )
    return files


def _kind(shape: tuple[int, ...], quantization: Quantization) -> Quantization:
    if len(shape) < 2:
        return "f32"
    if quantization == "q8_0" and shape[-1] % _BLOCK:
        return "f16"
    return quantization


def _announce(writer: "GGUFWriter", tensor: _Tensor) -> None:
    import numpy as np
    from gguf import GGMLQuantizationType
    from gguf.quants import quant_shape_to_byte_shape

    if tensor.kind == "q8_0":
        kind = GGMLQuantizationType.Q8_0
        shape = quant_shape_to_byte_shape(tensor.shape, kind)
        size = int(np.prod(shape))
        writer.add_tensor_info(tensor.name, shape, np.dtype(np.uint8), size, raw_dtype=kind)
        return
    dtype = np.dtype(np.float16 if tensor.kind == "f16" else np.float32)
    size = int(np.prod(tensor.shape)) * dtype.itemsize
    writer.add_tensor_info(tensor.name, tensor.shape, dtype, size)


def _encoded(tensor: _Tensor) -> "np.ndarray[Any, Any]":
    import numpy as np
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    weight = tensor.read()
    if tensor.kind == "f32":
        return weight
    if tensor.kind == "q8_0":
        encoded: np.ndarray[Any, Any] = quantize(weight, GGMLQuantizationType.Q8_0)
        return encoded
    with np.errstate(over="ignore"):
        half = weight.astype(np.float16)
    if not np.isfinite(half).all():
        raise ExportError(
            f"{tensor.name} holds values that float16 cannot.",
            fix="Export with --quantization f32 or q8_0.",
        )
    return half
