"""`everloop ask`."""

import json
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from cluster.cli.search import place_of
from cluster.client import openai_client, require_store, translated_errors
from cluster.errors import ApiError
from cluster.settings import load_settings

__all__ = ["ask_question", "print_sources", "run_ask"]

_QUOTE_CHARACTERS: Final = 160


def run_ask(
    question: str, store: str, model: str | None, base_url: str | None, *, as_json: bool
) -> None:
    """Stream the answer, then its sources."""
    url = base_url or load_settings().base_url
    console = Console()
    response = ask_question(question, store, model, url, None if as_json else console)
    if as_json:
        print(json.dumps(response, indent=2, ensure_ascii=False))
    else:
        print_sources(console, response)


def ask_question(
    question: str, store: str, model: str | None, base_url: str, console: Console | None
) -> dict[str, Any]:
    """Ask over `/v1/responses` with file search; tokens go to `console` as they come.

    Returns the completed response object. Raises ApiError when the answer broke off.
    """
    final: dict[str, Any] | None = None
    with translated_errors(base_url), openai_client(base_url) as client:
        store_id = require_store(client, store).id
        chosen = model or next(iter(client.models.list())).id
        stream = client.responses.create(
            model=chosen,
            input=question,
            tools=[{"type": "file_search", "vector_store_ids": [store_id]}],
            include=["file_search_call.results"],
            stream=True,
        )
        with stream:
            for event in stream:
                if event.type == "response.output_text.delta" and console is not None:
                    console.out(event.delta, end="", highlight=False)
                    console.file.flush()
                elif event.type in {"response.completed", "response.incomplete"}:
                    final = event.response.to_dict()
                elif event.type in {"response.failed", "error"}:
                    raise ApiError(f"The answer broke off: {_failure(event.to_dict())}")
    if console is not None:
        console.print()
    if final is None:
        raise ApiError("The stream ended before the answer was complete.", fix="Ask again.")
    return final


def print_sources(console: Console, response: dict[str, Any]) -> None:
    """Print the numbered sources of an answer, and the sentences that nothing supports."""
    annotations = _annotations(response)
    texts = _result_texts(response)
    places: dict[str, str] = {}
    for annotation in annotations:
        quote = annotation.get("quote") or texts.get(str(annotation.get("file_id")), "")
        places.setdefault(place_of(annotation), " ".join(str(quote).split()))
    if places:
        console.print("\nSources", style="bold")
    for number, (place, quote) in enumerate(places.items(), start=1):
        console.print(Text(f"[{number}] {place}"))
        if quote:
            cut = quote[:_QUOTE_CHARACTERS] + ("…" if len(quote) > _QUOTE_CHARACTERS else "")
            console.print(Text(f"    “{cut}”", style="dim"))
    unsupported = _unsupported(response)
    if unsupported and not places:
        print_read(console, response)
    for sentence in unsupported:
        console.print(Text(f"Not supported by any document: {sentence}", style="yellow"))


def print_read(console: Console, response: dict[str, Any]) -> None:
    """Print which documents were read where nothing in them supports the answer."""
    read = {
        place_of(result): None
        for item in response.get("output", [])
        for result in item.get("results") or []
    }
    console.print(Text(f"\nRead: {'; '.join(read)}", style="dim"))


def _output_texts(response: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        part
        for item in response.get("output", [])
        if item.get("type") == "message"
        for part in item.get("content", [])
        if part.get("type") == "output_text"
    ]


def _annotations(response: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        annotation
        for part in _output_texts(response)
        for annotation in part.get("annotations", [])
        if annotation.get("type") == "file_citation"
    ]


def _result_texts(response: dict[str, Any]) -> dict[str, str]:
    """Return the best passage of each file, for citations that carry no quote."""
    texts: dict[str, str] = {}
    for item in response.get("output", []):
        for result in item.get("results") or []:
            texts.setdefault(str(result.get("file_id")), str(result.get("text") or ""))
    return texts


def _unsupported(response: dict[str, Any]) -> list[str]:
    grounding = response.get("grounding") or {}
    text = "".join(part["text"] for part in _output_texts(response))
    return [
        text[sentence["start_index"] : sentence["end_index"]].strip()
        for sentence in grounding.get("sentences", [])
        if sentence.get("checkable") and not sentence.get("supported")
    ]


def _failure(event: dict[str, Any]) -> str:
    error = (event.get("response") or {}).get("error") or event
    return str(error.get("message") or error.get("code") or "no reason given")
