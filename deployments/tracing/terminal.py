"""Traces in the terminal."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from cluster.tables import plain_table, show_table
from deployments.tracing.stages import STAGES

__all__ = ["print_line", "print_list", "print_stats", "print_trace"]

_SHORT: Final = 60
_PASSAGE: Final = 160
_FIRST_ERROR: Final = 400


def print_list(console: Console, traces: Sequence[Mapping[str, Any]]) -> None:
    """One row each."""
    table = plain_table("trace", "when", "model", "status", "ms", "question")
    for trace in traces:
        table.add_row(
            Text(trace["id"]),
            _when(trace["created_at"]),
            Text(trace["model"] or "–"),
            _status(trace),
            f"{trace['duration_ms']:.0f}",
            Text(_short(trace["question"])),
        )
    show_table(console, table)


def print_line(console: Console, trace: Mapping[str, Any]) -> None:
    """One line, for who follows."""
    line = Text.assemble(
        (_when(trace["created_at"])[-8:], "dim"),
        "  ",
        trace["id"],
        "  ",
        _status(trace),
        f"  {trace['duration_ms']:.0f} ms  ",
        trace["model"] or "–",
        "  ",
        _short(trace["question"]),
    )
    console.print(line, highlight=False, soft_wrap=True)


def print_trace(console: Console, trace: Mapping[str, Any]) -> None:
    """Everything of one, as a tree."""
    title = Text.assemble((trace["id"], "bold"), "  ", _status(trace))
    tree = Tree(title, guide_style="dim")
    _add_facts(tree, trace)
    _add_stages(tree, trace)
    _add_said(tree, trace)
    _add_passages(tree, trace)
    _add_sentences(tree, trace)
    if trace["scores"]:
        scores = tree.add("scores")
        for score in trace["scores"]:
            value = "–" if score["value"] is None else f"{score['value']:.3g}"
            scores.add(Text.assemble(score["name"], " ", (value, "bold"), f" {score['evaluator']}"))
    if trace["feedback"]:
        feedback = tree.add("feedback")
        for said in trace["feedback"]:
            parts = [said["thumbs"], said["correction"], said["comment"]]
            given = "; ".join(str(part) for part in parts if part)
            number = "" if said["score"] is None else f" {said['score']:.3g}"
            feedback.add(Text(f"{said['name']}{number}: {given}"))
    console.print(tree, highlight=False)


def print_stats(console: Console, stats: Mapping[str, Any]) -> None:
    """Figures of all, and of each group."""
    first = stats["group_by"] or "all"
    table = plain_table(
        first, "requests", "errors", "refused", "p50 ms", "p95 ms", "p99 ms", "tokens", "cost"
    )
    for group in stats["groups"]:
        _add_figures(table, _key(group["key"], stats["group_by"]), group)
    if not stats["groups"] or len(stats["groups"]) > 1:
        _add_figures(table, "all", stats["total"])
    show_table(console, table)
    if stats["has_more_groups"]:
        console.print("There are more groups; narrow them with --filter.", style="yellow")
    if lost := stats["replica"]["dropped"]:
        console.print(
            f"{lost} traces were lost in the gateway's replica that answered.", style="yellow"
        )


def _add_figures(table: Any, name: str, group: Mapping[str, Any]) -> None:
    spent = group["duration_ms"]
    refused = group["refusal_rate"]
    table.add_row(
        Text(name),
        str(group["requests"]),
        f"{group['errors']} ({group['error_rate']:.1%})",
        "–" if refused is None else f"{refused:.1%}",
        *(f"{spent[name]:.0f}" if spent else "–" for name in ("p50", "p95", "p99")),
        f"{group['prompt_tokens']} + {group['completion_tokens']}",
        "–" if group["cost"] is None else f"{group['cost']:.4g}",
    )


def _key(key: str | int | None, group_by: str | None) -> str:
    if group_by in {"hour", "day"} and isinstance(key, int):
        return _when(key)[:-3]
    return "–" if key is None else str(key)


def _add_facts(tree: Tree, trace: Mapping[str, Any]) -> None:
    model = trace["model"] or "–"
    if trace["alias"]:
        model = f"{trace['alias']} → {model}"
    facts = {
        "when": _when(trace["created_at"]),
        "route": trace["route"],
        "model": model,
        "prompt": trace["prompt_version"],
        "experiment": trace["experiment_id"] and f"{trace['experiment_id']} {trace['arm']}",
        "shadow of": trace["shadow_of"],
        "user": trace["user_id"],
        "error": (trace.get("error") or {}).get("message") or trace["error_code"],
        "tokens": None
        if trace["prompt_tokens"] is None
        else f"{trace['prompt_tokens']} + {trace['completion_tokens'] or 0}",
        "cost": None if trace["cost"] is None else f"{trace['cost']:.6g}",
        "options": ", ".join(
            f"{name}={value}"
            for name, value in ((trace.get("input") or {}).get("options") or {}).items()
            if not isinstance(value, dict | list)
        ),
    }
    for name, value in facts.items():
        if value:
            tree.add(Text.assemble((f"{name}: ", "dim"), str(value)))


def _add_stages(tree: Tree, trace: Mapping[str, Any]) -> None:
    spent, began = trace.get("timings_ms") or {}, trace.get("began_ms") or {}
    stages = tree.add(f"time: {trace['duration_ms']:.1f} ms")
    for name in STAGES:
        if name not in spent:
            continue
        at = f" at {began[name]:.1f}" if name in began else ""
        stage = stages.add(Text.assemble(f"{name} {spent[name]:.1f} ms", (at, "dim")))
        if name == "retrieve":
            for inner, value in spent.items():
                if inner.startswith("retrieve_") and inner != "retrieve_total":
                    stage.add(f"{inner.removeprefix('retrieve_')} {value:.1f} ms")
        if name == "generate" and "model_first_token" in spent:
            stage.add(f"first token after {spent['model_first_token']:.1f} ms")


def _add_said(tree: Tree, trace: Mapping[str, Any]) -> None:
    given = trace.get("input") or {}
    for message in (given.get("messages") or [])[:-1]:
        tree.add(Text.assemble((f"{message.get('role')}: ", "dim"), _short(message.get("content"))))
    if given.get("cut_characters"):
        tree.add(Text(f"{given['cut_characters']} characters of the input were not kept", "yellow"))
    if trace["question"]:
        tree.add(Text.assemble(("question: ", "bold"), trace["question"]))
    if trace["answer"]:
        tree.add(Text.assemble(("answer: ", "bold"), trace["answer"]))


def _add_passages(tree: Tree, trace: Mapping[str, Any]) -> None:
    used, left = trace.get("passages") or [], trace.get("left_out") or []
    if not used and not left:
        return
    passages = tree.add(f"passages: {len(used)} used, {len(left)} left out")
    for passage in used:
        node = passages.add(
            Text(f"[{passage['number']}] {passage['filename']} {_score(passage)}".rstrip())
        )
        node.add(Text(_short(passage["text"], _PASSAGE), "dim"))
    for passage in left:
        passages.add(Text(f"{passage['filename']} {_score(passage)}: {passage['reason']}", "dim"))


def _add_sentences(tree: Tree, trace: Mapping[str, Any]) -> None:
    answer, sentences = trace["answer"] or "", trace.get("sentences") or []
    if not sentences:
        return
    supported = sum(bool(sentence["supported"]) for sentence in sentences)
    node = tree.add(f"sentences: {supported} of {len(sentences)} supported")
    for sentence in sentences:
        mark = "✓" if sentence["supported"] else "✗" if sentence["checkable"] else "·"
        by = ", ".join(
            f"[{support['passage'] + 1}] {support['score']:.2f} {support['method']}"
            for support in sentence["supports"]
        )
        text = answer[sentence["start"] : sentence["end"]].strip()
        node.add(Text.assemble(f"{mark} {text}", (f"  {by}" if by else "", "dim")))


def _score(passage: Mapping[str, Any]) -> str:
    score = passage.get("score")
    return "" if score is None else f"{score:.3f}"


def _status(trace: Mapping[str, Any]) -> Text:
    if trace["status"] >= _FIRST_ERROR:
        return Text(f"{trace['status']} {trace['error_code'] or ''}".rstrip(), "red")
    return Text("refused" if trace["refused"] else str(trace["status"]), "green")


def _short(value: Any, most: int = _SHORT) -> str:
    text = " ".join(str(value or "").split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _when(at: int) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
