"""`everloop feedback` against the real gateway."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from cluster.cli.app import app
from cluster.records import Feedback, StoredFile, Trace, now
from tests.fixtures.gateway import Gateway
from training.data.reading import read_dataset

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_DATA_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


def everloop(gateway: Gateway, *arguments: str | Path, typed: str | None = None) -> Result:
    words = ["feedback", *map(str, arguments), "--base-url", gateway.url]
    return CliRunner().invoke(app, words, input=typed)


def say(gateway: Gateway, number: int, **values: Any) -> str:
    """Feedback on a trace of its own; its id."""
    trace = {
        "question": f"Question {number}?",
        "answer": f"Answer {number}.",
        "model": "ft:one",
        "body": {},
        **values.pop("trace", {}),
    }
    trace_id, feedback_id = f"trace_{number}", f"fb_{number}"
    asked = [{"role": "user", "content": trace["question"]}]
    trace["body"] = {"input": {"messages": asked}, **trace.get("body", {})}
    with gateway.database.session() as session:
        session.add(
            Trace(
                id=trace_id, request_id=f"req-{number}", route="/v1/responses", status=200, **trace
            )
        )
        session.add(Feedback(id=feedback_id, trace_id=trace_id, meta={}, **values))
    return feedback_id


def reviews(gateway: Gateway) -> dict[str, tuple[str, str | None]]:
    with gateway.database.session(read_only=True) as session:
        rows = session.scalars(select(Feedback).order_by(Feedback.id))
        return {row.id: (row.review, row.reviewer) for row in rows}


def test_list_says_what_people_say(gateway: Gateway) -> None:
    say(gateway, 1, thumbs="up", score=0.5)
    say(gateway, 2, correction="Better.", comment="Hm\x1b[2Jm")
    done = everloop(gateway, "list")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["id", "when", "review", "says", "question", "model"]
    assert [line.split()[0] for line in lines[1:]] == ["fb_2", "fb_1"]
    assert "→ Better., «Hm␛[2Jm»" in lines[1]
    assert "up, score 0.5" in lines[2]
    assert "Question 1?" in lines[2]


def test_list_is_narrowed_and_cut_and_written_as_json(gateway: Gateway) -> None:
    for number in (1, 2, 3):
        say(gateway, number, thumbs="up" if number > 1 else "down", trace={"alias": f"a{number}"})
    for options, ids in [
        (["--thumbs", "down"], ["fb_1"]),
        (["--most", "2"], ["fb_3", "fb_2"]),
        (["--alias", "a2"], ["fb_2"]),
        (["--trace", "trace_3"], ["fb_3"]),
        (["--not-corrected", "--review", "pending", "--until", "2001-01-01"], []),
        (
            ["--since", "2001-01-01", "--model", "ft:one", "--name", "feedback"],
            ["fb_3", "fb_2", "fb_1"],
        ),
    ]:
        done = everloop(gateway, "list", *options, "--json")
        assert [one["id"] for one in json.loads(done.stdout)] == ids, options
    assert everloop(gateway, "list", "--corrected").stdout == "There is no such feedback.\n"


def test_a_date_that_is_none_is_a_wrong_argument(gateway: Gateway) -> None:
    done = everloop(gateway, "list", "--since", "yesterday")
    assert done.exit_code == 2
    assert "--since 'yesterday' is no date" in done.stderr


def test_show_has_the_question_and_the_answer(gateway: Gateway) -> None:
    say(gateway, 1, correction="Better.", review="accepted", reviewer="rea")
    lines = everloop(gateway, "show", "fb_1").stdout.splitlines()
    found = dict(line.split("  ", 1) for line in lines)
    assert found["question"].strip() == "Question 1?"
    assert found["correction"].strip() == "Better."
    assert found["review"].strip() == "accepted by rea"
    assert json.loads(everloop(gateway, "show", "fb_1", "--json").stdout)["id"] == "fb_1"
    missing = everloop(gateway, "show", "fb_9")
    assert (missing.exit_code, "No such feedback: fb_9" in missing.stderr) == (1, True)


def test_reviews_one_by_one(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "By hand." > "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    for number in range(1, 6):
        say(gateway, number, thumbs="down")
    done = everloop(gateway, "review", "--reviewer", "rea", typed="a\nx\nr\ns\ne\na\nq\n")
    assert done.exit_code == 0, done.output
    assert "Question 1?" in done.stdout
    assert done.stdout.endswith("2 accepted, 1 rejected\n")
    assert reviews(gateway) == {
        "fb_1": ("accepted", "rea"),
        "fb_2": ("rejected", "rea"),
        "fb_3": ("pending", None),
        "fb_4": ("accepted", "rea"),
        "fb_5": ("pending", None),
    }
    with gateway.database.session(read_only=True) as session:
        corrections = [session.get_one(Feedback, f"fb_{n}").correction for n in (1, 4)]
    assert corrections == [None, "By hand."]


def test_a_review_without_anybody_decides_nothing(gateway: Gateway) -> None:
    say(gateway, 1, thumbs="up")
    assert everloop(gateway, "review", typed="").stdout.endswith("0 accepted, 0 rejected\n")
    assert reviews(gateway) == {"fb_1": ("pending", None)}
    assert everloop(gateway, "review", "--name", "tone").stdout.startswith("Nothing waits")
    refused = everloop(gateway, "review", "--json")
    assert (refused.exit_code, "--all-" in refused.stderr) == (2, True)


def test_what_changes_during_its_review_waits(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(gateway, 1, correction="Good.", updated_at=now() - 9)

    def change(*_arguments: Any) -> str:
        with gateway.database.session() as session:
            row = session.get_one(Feedback, "fb_1")
            row.correction, row.updated_at = "Evil.", now()
        return "a"

    monkeypatch.setattr("rich.console.Console.input", change)
    done = everloop(gateway, "review")
    assert "It has changed meanwhile" in done.stdout
    assert reviews(gateway) == {"fb_1": ("pending", None)}


def test_reviews_by_id_and_by_kind(gateway: Gateway) -> None:
    say(gateway, 1, thumbs="up")
    say(gateway, 2, thumbs="down")
    say(gateway, 3, correction="Better.")
    say(gateway, 4, thumbs="up", trace={"model": "other"})
    say(gateway, 5, thumbs="up", review="rejected", reviewer="bob")
    by_id = everloop(gateway, "review", "--accept", "fb_3", "--reject", "fb_2", "--reviewer", "rea")
    assert by_id.stdout == "1 accepted, 1 rejected\n"
    kind = everloop(
        gateway, "review", "--all-thumbs-up", "--model", "ft:one", "--reviewer", "rea", "--json"
    )
    assert [one["id"] for one in json.loads(kind.stdout)] == ["fb_1"]
    assert reviews(gateway) == {
        "fb_1": ("accepted", "rea"),
        "fb_2": ("rejected", "rea"),
        "fb_3": ("accepted", "rea"),
        "fb_4": ("pending", None),
        "fb_5": ("rejected", "bob"),
    }
    both = everloop(gateway, "review", "--all-thumbs-up", "--accept", "fb_1")
    assert both.exit_code == 2


@pytest.mark.parametrize("failure", [None, KeyError])
def test_the_reviewer_is_the_user_of_the_machine_who_may_have_no_name(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, failure: type[Exception] | None
) -> None:
    def user() -> str:
        if failure is not None:
            raise failure("uid not found")
        return "ann"

    monkeypatch.setattr("getpass.getuser", user)
    say(gateway, 1, thumbs="up")
    assert everloop(gateway, "review", "--accept", "fb_1").exit_code == 0
    assert reviews(gateway) == {"fb_1": ("accepted", None if failure else "ann")}


def test_all_thumbs_down_and_all_corrections(gateway: Gateway) -> None:
    say(gateway, 1, thumbs="up")
    say(gateway, 2, thumbs="down")
    say(gateway, 3, correction="Better.")
    everloop(gateway, "review", "--all-thumbs-down", "--reviewer", "rea")
    assert reviews(gateway)["fb_2"] == ("accepted", "rea")
    assert reviews(gateway)["fb_3"][0] == "pending"
    everloop(gateway, "review", "--all-corrections", "--reviewer", "rea")
    assert [review for review, _ in reviews(gateway).values()] == [
        "pending",
        "accepted",
        "accepted",
    ]


def test_export_writes_rows_a_receipt_and_uploads_them(gateway: Gateway, tmp_path: Path) -> None:
    for number in range(120):  # more than one page
        say(gateway, 100 + number, thumbs="up", review="accepted")
    say(gateway, 300, correction="Better.", review="accepted")
    say(gateway, 301, correction="Not looked at.")
    out = tmp_path / "rows.jsonl"
    done = everloop(gateway, "export", "--out", out, "--upload")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 121
    assert rows[-1]["messages"][-1]["content"] == "Better."
    assert (rows[-1]["metadata"]["trace"], rows[-1]["metadata"]["feedback"]) == (
        "trace_300",
        "fb_300",
    )
    receipt = json.loads((tmp_path / "rows.jsonl.receipt.json").read_text())
    assert receipt["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    counts = {name: receipt[name] for name in ("form", "rows", "feedback", "taken", "left_out")}
    assert counts == {
        "form": "sft",
        "rows": 121,
        "feedback": 122,
        "taken": 121,
        "left_out": {"not reviewed": 1},
    }
    with gateway.database.session(read_only=True) as session:
        file = session.scalars(select(StoredFile)).one()
    assert done.stdout.splitlines()[-1] == file.id
    assert (file.purpose, file.filename) == ("fine-tune", "rows.jsonl")
    assert sorted(path.name for path in tmp_path.glob("*rows*")) == [
        "rows.jsonl",
        "rows.jsonl.receipt.json",
    ]


def test_export_is_narrowed_and_equal_for_equal_feedback(gateway: Gateway, tmp_path: Path) -> None:
    say(gateway, 1, correction="Better.", trace={"alias": "assistant"})
    say(gateway, 2, score=0.9, trace={"alias": "assistant"})
    say(gateway, 3, correction="Elsewhere.")
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    options = ("--alias", "assistant", "--unreviewed", "--min-score", "0.9")
    done = everloop(gateway, "export", "--out", first, *options, "--json")
    told = json.loads(done.stdout)
    assert (told["rows"], told["file_id"]) == (2, None)
    assert told["rule"] == {"least_score": 0.9, "unreviewed": True, "with_passages": False}
    assert told["narrowed_to"] == {"model": "assistant"}
    everloop(gateway, "export", "--out", second, *options)
    assert first.read_bytes() == second.read_bytes()
    receipts = [path.with_name(f"{path.name}.receipt.json") for path in (first, second)]
    assert receipts[0].read_bytes() == receipts[1].read_bytes()


def test_export_of_pairs_and_of_whole_prompts(gateway: Gateway, tmp_path: Path) -> None:
    prompt = [{"role": "user", "content": "[1] Blue.\nQuestion 1?"}]
    body = {"messages": prompt, "vector_store_ids": ["vs_1"]}
    say(gateway, 1, correction="Blue.", review="accepted", trace={"body": body})
    out = tmp_path / "pairs.jsonl"
    done = everloop(gateway, "export", "--out", out, "--form", "dpo", "--with-passages")
    assert done.exit_code == 0, done.output
    assert read_dataset(out).problems == ()
    row = json.loads(out.read_text())
    assert row["input"]["messages"] == prompt
    assert row["non_preferred_output"][0]["content"] == "Answer 1."


def test_export_without_a_row_says_why(gateway: Gateway, tmp_path: Path) -> None:
    say(gateway, 1, thumbs="down", review="accepted")
    out = tmp_path / "rows.jsonl"
    done = everloop(gateway, "export", "--out", out)
    assert done.exit_code == 1
    assert "1  no better answer is known" in done.stdout
    assert not out.exists()
    assert json.loads((tmp_path / "rows.jsonl.receipt.json").read_text())["rows"] == 0
    nowhere = everloop(gateway, "export", "--out", tmp_path / "no" / "rows.jsonl")
    assert (nowhere.exit_code, "cannot be written" in nowhere.stderr) == (2, True)
