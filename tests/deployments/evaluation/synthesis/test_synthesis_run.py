"""A test set from a store of the stand-in API: marked, filtered, counted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cluster.cli.app import app
from deployments.evaluation.synthesis.drafts import SourceText
from deployments.evaluation.synthesis.passages import in_turn
from tests.fakes.openai_api import FakeApi, running_fake_api

PORTS = "The HTTP interface listens on port 8000 of the loopback address in this profile."
TRIES = "A file is tried three times before the Ingestor marks it as failed for good."
TABLE = "setting: http.port; default: 8000; meaning: Port to listen on."


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    monkeypatch.setenv("EVERLOOP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "160")
    with running_fake_api() as fake:
        fake.post_store("docs")
        fake.found = lambda _query: ["guide.md", "settings.csv"]
        for number, (name, texts) in enumerate(
            {"guide.md": [PORTS, TRIES], "settings.csv": [TABLE]}.items(), start=1
        ):
            file: dict[str, Any] = {"id": f"file-{number}", "object": "vector_store.file"}
            file |= {"created_at": 1, "vector_store_id": "vs_1", "status": "completed"}
            file |= {"usage_bytes": 0, "attributes": {"source": name}, "filename": name}
            fake.attached["vs_1"].append(file)
            fake.contents[f"file-{number}"] = texts
        yield fake


def synthesize(api: FakeApi, out: Path, *arguments: str) -> Result:
    given = ["eval", "synthesize", "docs", "-o", str(out), "--base-url", api.url, *arguments]
    return CliRunner().invoke(app, given)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rules_alone_make_rows_that_say_what_made_them(api: FakeApi, tmp_path: Path) -> None:
    out = tmp_path / "set.jsonl"
    rules = ("--method", "table", "--method", "cloze")
    result = synthesize(api, out, *rules, "-n", "10", "--json")
    assert result.exit_code == 0, result.output
    rows = rows_of(out)
    assert {row["metadata"]["method"] for row in rows} == {"table", "cloze"}
    assert all(row["metadata"]["synthetic"] is True for row in rows)
    assert all(row["metadata"]["generator"] == "rules" for row in rows)
    assert api.chats == []
    receipt = json.loads((tmp_path / "set.jsonl.receipt.json").read_text())
    assert receipt == json.loads(result.stdout)
    assert (receipt["synthetic"], receipt["kept"]) == (True, len(rows))
    assert receipt["drafted"] == receipt["kept"] + sum(receipt["removed"].values())
    assert (receipt["documents"], receipt["passages"]) == (2, 3)


def test_a_models_question_goes_first_and_rules_stand_in_for_a_bad_one(
    api: FakeApi, tmp_path: Path
) -> None:
    def write(prompt: str) -> str:
        if "port 8000 of the loopback" in prompt:
            good = {"question": "Where does the web interface listen?", "answer": "port 8000"}
            return json.dumps(good)
        if "three times" in prompt:
            return json.dumps({"question": "What does the passage say?", "answer": "three times"})
        return '{"question": "cut o'

    api.written = write
    out = tmp_path / "set.jsonl"
    assert synthesize(api, out, "-n", "3").exit_code == 0
    by_passage = {row["metadata"]["passage_id"]: row for row in rows_of(out)}
    assert by_passage["file-1#1"]["metadata"]["method"] == "model"
    assert by_passage["file-1#1"]["metadata"]["generator"] == "smollm2"
    assert by_passage["file-1#1"]["metadata"]["prompt"].startswith("synthetic_question@")
    assert by_passage["file-1#2"]["metadata"]["method"] == "cloze"
    assert by_passage["file-2#1"]["metadata"]["method"] == "table"
    removed = json.loads((tmp_path / "set.jsonl.receipt.json").read_text())["by_method"]["model"]
    assert removed == {"drafted": 2, "kept": 1, "removed": {"needs_the_passage": 1}}


def test_the_model_is_held_to_a_schema_and_asked_behind_the_users(
    api: FakeApi, tmp_path: Path
) -> None:
    synthesize(api, tmp_path / "set.jsonl", "--method", "model", "-n", "3")
    assert len(api.chats) == 3
    body = api.chats[0]
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["question", "answer"]
    assert (body["temperature"], body["seed"]) == (0, 0)


def test_what_a_search_does_not_find_is_removed(api: FakeApi, tmp_path: Path) -> None:
    api.found = lambda _query: ["other.md"] * 5 + ["guide.md", "settings.csv"]
    result = synthesize(api, tmp_path / "set.jsonl", "--method", "cloze", "-n", "5")
    assert result.exit_code == 1
    assert "not_found" in result.stdout
    assert rows_of(tmp_path / "set.jsonl") == []


def test_no_more_rows_than_wanted_and_none_twice(api: FakeApi, tmp_path: Path) -> None:
    api.contents["file-1"] = [PORTS, PORTS, TRIES]
    out = tmp_path / "set.jsonl"
    synthesize(api, out, "--method", "cloze", "-n", "50")
    questions = [row["question"] for row in rows_of(out)]
    assert len(questions) == len(set(questions)) == 2
    synthesize(api, out, "--method", "cloze", "-n", "1")
    assert len(rows_of(out)) == 1


def test_an_unknown_method_and_an_empty_store_are_told(api: FakeApi, tmp_path: Path) -> None:
    wrong = synthesize(api, tmp_path / "set.jsonl", "--method", "magic")
    assert wrong.exit_code == 2
    assert "there are: model, definition, table, cloze" in wrong.stderr
    api.attached["vs_1"].clear()
    empty = synthesize(api, tmp_path / "set.jsonl")
    assert empty.exit_code == 1
    assert "has no passage" in empty.stderr


def test_documents_take_turns_in_an_order_that_the_seed_gives() -> None:
    words = "alpha beta gamma delta epsilon zeta"
    sources = [
        SourceText(f"{words} {n}", name, name, n)
        for name, count in (("a", 4), ("b", 1))
        for n in range(count)
    ] + [SourceText("too short", "c", "c", 1)]
    order = [(source.document, source.number) for source in in_turn(sources, 1)]
    assert [document for document, _ in order] == ["a", "b", "a", "a", "a"]
    assert order == [(source.document, source.number) for source in in_turn(sources, 1)]
    assert order != [(source.document, source.number) for source in in_turn(sources, 2)]
