"""`everloop export`."""

import json
import os
import sys
import warnings
from contextlib import redirect_stdout
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from cluster.errors import SettingsError
from cluster.settings import load_settings

__all__ = ["run_export"]


def run_export(
    what: str,
    *,
    form: str,
    out: Path,
    dtype: str | None,
    quantization: str | None,
    base: str | None,
    push: str | None,
    public: bool,
    token_env: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Export, and say what was written. Steps go to standard error."""
    for option, given, fits in (("--dtype", dtype, "hf"), ("--quantization", quantization, "gguf")):
        if given is not None and form != fits:
            raise SettingsError(
                f"{option} is of --to {fits}, not {form}.", fix=f"Leave {option} out."
            )
    if public and push is None:
        raise SettingsError("--public says how to push.", fix="Give --push as well, or leave it.")
    chosen = {"dtype": dtype, "quantization": quantization}
    export = import_module("training.export.run")
    plan = export.ExportPlan(
        what=what,
        form=form,
        target=out.expanduser().absolute(),
        base=base,
        force=force,
        push_to=push,
        private=not public,
        token=_token(token_env),
        **{name: value for name, value in chosen.items() if value is not None},
    )
    steps = Console(stderr=True)
    _quiet()
    cache_dir = load_settings().cache_dir
    with redirect_stdout(sys.stderr):  # DeepSpeed, which peft imports, logs to standard output
        done = export.run_export(
            plan, cache_dir, lambda step: steps.print(Text(step, style="dim"), soft_wrap=True)
        )
    if as_json:
        print(json.dumps(asdict(done), indent=2))
    else:
        _print(Console(), done)


def _token(variable: str | None) -> str | None:
    if variable is None:
        return None
    if not (token := os.environ.get(variable)):
        raise SettingsError(f"The environment variable {variable} is not set.", fix="Set it.")
    return token


def _quiet() -> None:
    """Keep the libraries' own bars and warnings out of ours."""
    logging = import_module("transformers.utils.logging")
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore", module=r"(torch|transformers|peft|huggingface_hub)\b")


def _print(console: Console, done: Any) -> None:
    of = f" from {done.base}" if done.base else ""
    size = f"{done.bytes / 2**20:.1f} MiB"
    line = f"{done.name}: {done.path} ({done.form}, {size}){of}, in {done.seconds:.0f} s"
    console.print(Text(line), soft_wrap=True)
    if done.pushed:
        console.print(Text(f"pushed: {done.pushed}"), soft_wrap=True)
