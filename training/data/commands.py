"""What `everloop data` does: look at a file of examples, or curate it, without a training run."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from cluster.client import connected
from cluster.errors import SettingsError
from cluster.models import ensure_model
from cluster.paging import pages_of
from cluster.settings import load_settings
from cluster.yaml_file import read_mapping
from training.data.columns import Columns
from training.data.curation.pipeline import curate
from training.data.inspect import Inspection, measure
from training.data.problems import Problem, ProblemList
from training.data.reading import read_dataset, read_rows
from training.data.records import write_rows
from training.data.rendering import (
    render_inspection,
    render_mask,
    render_problems,
    render_receipt,
)
from training.data.rows import Row
from training.data.settings import CurationSettings
from training.data.summary import Tally
from training.data.traces import TraceRule, rows_of_traces
from training.errors import ExampleError
from training.examples import PreferenceExample
from training.tokens import ExampleTokenizer, TokenCounter
from training.tokens.tokenizer import Piece

__all__ = ["collect_traces", "curate_file", "inspect_file"]

_PROBLEMS: Final = 1_000
_FAILED: Final = 1


@dataclass(frozen=True, slots=True)
class _Shown:
    """One example, as the model will see it."""

    number: int
    """Of the rows without a problem, from 1."""
    line: int
    samples: tuple[tuple[list[Piece], ...], ...]
    tokens: int
    trained_tokens: int


def inspect_file(
    path: Path,
    *,
    columns: str | None,
    model: str,
    chat_template: Path | None,
    example: int,
    as_json: bool,
) -> int:
    """Print rows, problems, lengths in tokens, and the label mask of the example of that number.

    `example` 0 shows none. Gives 1 where there is a problem, else 0. Raises EverloopError where the
    file or the model cannot be read, or there is no such example.
    """
    console, status = Console(highlight=False), Console(stderr=True)
    mapping = _columns(columns)
    tokenizer = _tokenizer(model, chat_template, status)
    with status.status(f"reading {path}"):
        read = read_dataset(path, columns=mapping, problems_kept=_PROBLEMS)
        problems = ProblemList(_PROBLEMS)
        for problem in read.problems:
            problems.add(problem)
        problems.more += read.more_problems
        rows, lengths = _measured(read.rows, tokenizer, problems)
    tally = Tally()
    for row in rows:
        tally.add(row.example)
    inspection = Inspection(tally.summary, measure(lengths) if lengths else None)
    shown = _shown(rows, example, tokenizer)
    if as_json:
        print(json.dumps(_document(path, inspection, problems, shown), ensure_ascii=False))
        return _FAILED if problems.kept else 0
    console.print(render_inspection(inspection))
    if shown is not None:
        _print_example(
            console, shown, pair=isinstance(rows[example - 1].example, PreferenceExample)
        )
    if problems.kept:
        count = len(problems.kept) + problems.more
        console.print(Text(f"\n{count:,} problem{'' if count == 1 else 's'}", style="bold red"))
        console.print(render_problems(problems.kept, problems.more))
        return _FAILED
    return 0


def curate_file(
    path: Path,
    out: Path,
    *,
    columns: str | None,
    settings: Path | None,
    evaluation: Path | None,
    model: str,
    as_json: bool,
) -> int:
    """Write `train.jsonl`, `validation.jsonl` and `receipt.json` into `out`, and print the receipt.

    `settings`: a YAML file of CurationSettings. Raises EverloopError where a file has a fault.
    """
    status = Console(stderr=True)
    mapping, plan = _columns(columns), _curation(settings)
    rows = read_rows(path, mapping)
    questions = read_rows(evaluation, mapping) if evaluation is not None else []
    counter = TokenCounter(model, load_settings().cache_dir)
    with status.status(f"curating {len(rows):,} rows") as bar:
        curated = curate(
            rows,
            plan,
            evaluation=[row.example for row in questions],
            count=counter,
            progress=lambda done: bar.update(f"curating row {done:,} of {len(rows):,}"),
        )
    out.mkdir(parents=True, exist_ok=True)
    for name, kept in (("train", curated.train), ("validation", curated.validation)):
        with (out / f"{name}.jsonl").open("wb") as stream:
            write_rows(kept, stream)
    (out / "receipt.json").write_text(curated.receipt.json, encoding="utf-8")
    if as_json:
        print(curated.receipt.json, end="")
        return 0
    console = Console(highlight=False)
    console.print(render_receipt(curated.receipt))
    console.print(Text(f"Written to {out}: train.jsonl, validation.jsonl, receipt.json"))
    return 0


def _columns(given: str | None) -> Columns | None:
    """`prompt=question,completion=answer`, or the same as a JSON object."""
    if given is None:
        return None
    try:
        parts = json.loads(given) if given.lstrip().startswith("{") else dict(_pairs(given))
        return Columns.model_validate(parts)
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(map(str, item['loc']))} {item['msg']}".strip() for item in error.errors()
        )
        raise SettingsError(f"--columns {given!r}: {said}.") from error
    except ValueError as error:
        raise SettingsError(
            f"--columns {given!r} cannot be read: {error}.",
            fix="Write --columns prompt=question,completion=answer, or a JSON object.",
        ) from error


def _pairs(given: str) -> Iterator[tuple[str, str]]:
    for part in given.split(","):
        key, found, value = part.partition("=")
        if not found:
            raise ValueError(f"{part!r} has no =")
        yield key.strip(), value.strip()


def _curation(path: Path | None) -> CurationSettings:
    if path is None:
        return CurationSettings()
    loaded = read_mapping(path, "The settings", SettingsError)
    try:
        return CurationSettings.model_validate(loaded)
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
        )
        raise SettingsError(f"{path}: {said}.") from error


def _tokenizer(model: str, chat_template: Path | None, status: Console) -> ExampleTokenizer:
    folder = ensure_model(model, load_settings().cache_dir, progress=status.print)
    return ExampleTokenizer.load(folder, chat_template)


def _measured(
    rows: Sequence[Row], tokenizer: ExampleTokenizer, problems: ProblemList
) -> tuple[list[Row], list[int]]:
    """The rows that the model's template takes, and the tokens of each one's longest document."""
    good: list[Row] = []
    lengths: list[int] = []
    for row in rows:
        try:
            samples = tokenizer.samples(row.example)
        except ExampleError as error:
            problems.add(Problem(row.line, "", error.message))
            continue
        good.append(row)
        lengths.append(max(len(document) for sample in samples for document in sample))
    return good, lengths


def _shown(rows: Sequence[Row], number: int, tokenizer: ExampleTokenizer) -> _Shown | None:
    if not number or not rows:
        return None
    if number > len(rows):
        raise SettingsError(f"--example is {number}; the file has {len(rows)} good rows.")
    row = rows[number - 1]
    documents = [part for sample in tokenizer.samples(row.example) for part in sample]
    return _Shown(
        number=number,
        line=row.line,
        samples=tokenizer.pieces(row.example),
        tokens=sum(map(len, documents)),
        trained_tokens=sum(document.trained_tokens for document in documents),
    )


def _print_example(console: Console, shown: _Shown, *, pair: bool) -> None:
    mark = "green" if console.is_terminal else "in [[ ]]"
    head = f"\nexample {shown.number} (line {shown.line}): {shown.tokens:,} tokens, "
    console.print(Text(f"{head}{shown.trained_tokens:,} of them with loss, {mark}", style="bold"))
    for at, sample in enumerate(shown.samples, start=1):
        for place, pieces in enumerate(sample):
            if pair:
                console.print(Text("the other output" if place else "the preferred output"))
            elif len(shown.samples) > 1:
                console.print(Text(f"sample {at} of {len(shown.samples)}"))
            if not console.is_terminal:
                pieces = [(f"[[{text}]]" if loss else text, loss) for text, loss in pieces]
            console.print(render_mask(pieces), soft_wrap=True)


def _document(
    path: Path, inspection: Inspection, problems: ProblemList, shown: _Shown | None
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "file": str(path),
        "summary": asdict(inspection.summary),
        "lengths": asdict(inspection.lengths) if inspection.lengths else None,
        "problems": [asdict(problem) for problem in problems.kept],
        "more_problems": problems.more,
        "example": None,
    }
    if shown is not None:
        found["example"] = {
            "number": shown.number,
            "line": shown.line,
            "tokens": shown.tokens,
            "trained_tokens": shown.trained_tokens,
            "samples": [
                [[{"text": text, "loss": loss} for text, loss in part] for part in sample]
                for sample in shown.samples
            ],
        }
    return found


def collect_traces(
    out: Path,
    *,
    base_url: str | None,
    route: str | None,
    model: str | None,
    least_scores: Sequence[str],
    refusals: bool,
    most: int,
    as_json: bool,
) -> int:
    """Write rows of the newest traces to `out`, and say how many of how many."""
    rule = TraceRule(dict(map(_least_score, least_scores)), refusals)
    seen = 0

    def traces() -> Iterator[dict[str, Any]]:
        nonlocal seen
        with connected(base_url) as client:
            for trace in pages_of(client, "/traces", {"route": route, "model": model}):
                seen += 1
                yield trace

    rows = list(islice(rows_of_traces(traces(), rule), most))
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    out.write_text(text, encoding="utf-8")
    if as_json:
        print(json.dumps({"rows": len(rows), "traces": seen, "file": str(out)}))
    else:
        print(f"{len(rows)} rows of {seen} traces written to {out}")
    return 0 if rows else _FAILED


def _least_score(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise SettingsError(
            f"--min-score {text!r} is no NAME=NUMBER.", fix="Such as --min-score groundedness=0.9."
        ) from None
