"""The commands and their options. Bodies stand in their own modules, imported when called."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cluster.cli.access import audit, keys, projects
from cluster.cli.alerts import alerts
from cluster.cli.backup import backup, restore
from cluster.cli.data import data
from cluster.cli.drift import drift
from cluster.cli.evaluation import evaluation
from cluster.cli.exits import guarded
from cluster.cli.experiments import experiments
from cluster.cli.feedback import feedback
from cluster.cli.improvement import COMMANDS
from cluster.cli.lineage import lineage
from cluster.cli.options import AsJson, BaseUrl, Store
from cluster.cli.prompts import prompts
from cluster.cli.traces import traces
from cluster.cli.usage import usage

__all__ = ["app"]

app = typer.Typer(
    name="everloop",
    help="Ask your documents: an OpenAI-compatible endpoint with citations, on your own machines.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong arguments or settings, 3 nothing runs there, "
    "4 some files failed, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data, name="data")
app.add_typer(evaluation, name="eval")
app.add_typer(prompts, name="prompts")
app.add_typer(experiments, name="experiments")
app.add_typer(feedback, name="feedback")
app.add_typer(traces, name="traces")
app.add_typer(drift, name="drift")
app.add_typer(alerts, name="alerts")
app.add_typer(backup, name="backup")
app.add_typer(keys, name="keys")
app.add_typer(projects, name="projects")
app.add_typer(audit, name="audit")


@app.command()
@guarded
def up(
    sample: Annotated[
        bool, typer.Option("--sample", help="Ingest the sample corpus and ask it a question.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until Ctrl-C or SIGTERM, then stop everything.")
    ] = False,
) -> int | None:
    """Start everything on this machine, or find that it runs."""
    from cluster.cli.up import run_up

    return run_up(sample=sample, wait=wait)


@app.command()
@guarded
def down() -> int | None:
    """Stop everything that `up` started, and nothing else. Data stays."""
    from cluster.cli.up import run_down

    return run_down()


@app.command()
@guarded
def status(as_json: AsJson = False) -> int | None:
    """Show what runs where. Exit code 3 when nothing does."""
    from cluster.cli.status import run_status

    return run_status(as_json=as_json)


@app.command()
@guarded
def doctor(as_json: AsJson = False) -> int | None:
    """Look for what is wrong with this machine or cluster, and say what to do about it."""
    from cluster.cli.doctor import run_doctor

    return run_doctor(as_json=as_json)


@app.command()
@guarded
def config(as_json: AsJson = False) -> int | None:
    """Show each setting, its value and where it came from."""
    from cluster.cli.config import run_config

    run_config(as_json=as_json)
    return None


@app.command()
@guarded
def ingest(
    what: Annotated[list[str], typer.Argument(metavar="PATH|URL…", help="Files, folders, pages.")],
    store: Store,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Put documents into a vector store; unchanged ones are skipped, changed ones replaced."""
    from cluster.cli.ingest import run_ingest

    return run_ingest(what, store, base_url, as_json=as_json)


@app.command()
@guarded
def ask(
    question: Annotated[str, typer.Argument(help="A question in your own words.")],
    store: Store,
    model: Annotated[str | None, typer.Option(help="Model id; by default the first.")] = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Answer a question from a vector store's documents, with its sources."""
    from cluster.cli.ask import run_ask

    run_ask(question, store, model, base_url, as_json=as_json)
    return None


@app.command()
@guarded
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    store: Store,
    limit: Annotated[int, typer.Option(min=1, max=50, help="Passages to show.")] = 5,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Show the passages that a vector store finds."""
    from cluster.cli.search import run_search

    run_search(query, store, limit, base_url, as_json=as_json)
    return None


@app.command()
@guarded
def moderate(
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="What to look at; - is standard input.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", exists=True, dir_okay=False, help="A text file, in its place."),
    ] = None,
    place: Annotated[
        Literal["input", "passages", "output"],
        typer.Option(help="Judge it as a question, a passage or tool's result, or an answer."),
    ] = "input",
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Show what the guards find in a text. Exit code 0 whether or not something is flagged."""
    from cluster.cli.moderate import read_text, run_moderate

    run_moderate(read_text(text, file), place, base_url, as_json=as_json)
    return None


@app.command()
@guarded
def export(
    what: Annotated[
        str, typer.Argument(metavar="ADAPTER", help="Its folder, its id, or its URL on a hub.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder or file to write.")],
    form: Annotated[
        Literal["hf", "gguf"],
        typer.Option("--to", help="A merged Hugging Face folder, or one GGUF file."),
    ] = "hf",
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option(help="Weights of a merged folder.", show_default="float32"),
    ] = None,
    quantization: Annotated[
        Literal["f32", "f16", "q8_0"] | None,
        typer.Option(help="Weights of a GGUF file.", show_default="f16"),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="Base model: folder, packaged name or hub id; by default the adapter's."),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Push it to https://HOST/OWNER/NAME or OWNER/NAME."),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Push for everybody to see.")] = False,
    token_env: Annotated[
        str | None,
        typer.Option(
            metavar="VARIABLE",
            help="Variable with the hub's token; HF_TOKEN goes to the default hub only.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    as_json: AsJson = False,
) -> int | None:
    """Write an adapter and its base as one model that other programs load."""
    from cluster.cli.export import run_export

    run_export(
        what,
        form=form,
        out=out,
        dtype=dtype,
        quantization=quantization,
        base=base,
        push=push,
        public=public,
        token_env=token_env,
        force=force,
        as_json=as_json,
    )
    return None


for _command in (*COMMANDS, lineage, restore, usage):
    app.command()(_command)
