"""What rows say of where they come from."""

import json
from io import BytesIO
from typing import Any

from deployments.lineage.row_sources import RowSources, read_eval_sources


def test_ids_are_kept_once_and_in_order() -> None:
    sources = RowSources()
    for row in (
        {"trace": "trace_1", "feedback": "fb_1"},
        {"trace": "trace_1"},
        {"trace": "trace_2"},
    ):
        sources.see(row)
    assert sources.ids == ("trace_1", "fb_1", "trace_2")
    assert sources.more == 0


def test_a_row_may_come_from_several() -> None:
    sources = RowSources()
    sources.see({"trace": "trace_1,trace_2", "feedback": "fb_1,fb_2,"})
    assert sources.ids == ("trace_1", "trace_2", "fb_1", "fb_2")


def test_what_is_no_id_is_passed_over() -> None:
    sources = RowSources()
    strange: list[Any] = [7, "other", "fb_1", "trace_" + "x" * 64, None, ["trace_1"]]
    for value in strange:
        sources.see({"trace": value})
    assert sources.ids == ()


def test_beyond_the_bound_ids_are_counted() -> None:
    sources = RowSources(most=2)
    for number in range(5):
        sources.see({"trace": f"trace_{number}"})
    sources.see({"trace": "trace_0"})
    assert sources.ids == ("trace_0", "trace_1")
    assert sources.more == 3


def test_items_of_an_eval_name_them_themselves_or_in_their_metadata() -> None:
    lines = [
        json.dumps({"item": {"question": "?", "trace_id": "trace_1"}}),
        json.dumps({"item": {"metadata": {"trace": "trace_2", "feedback": "fb_1"}}}),
        json.dumps({"item": "trace_3"}),
        json.dumps(["trace_4"]),
        "no JSON trace_5",
        "",
        json.dumps({"item": {"metadata": "trace_6", "trace": "trace_7"}}),
    ]
    file, sources = BytesIO("\n".join(lines).encode()), RowSources()
    read_eval_sources(file, sources)
    assert sources.ids == ("trace_1", "trace_2", "fb_1", "trace_7")
    assert file.tell() == 0


def test_a_line_that_no_run_would_read_ends_the_reading() -> None:
    long = b'{"item": {"trace": "trace_1", "x": "' + b"x" * 5 * 1024**2 + b'"}}\n'
    after = b'{"item": {"trace": "trace_2"}}\n'
    sources = RowSources()
    read_eval_sources(BytesIO(long + after), sources)
    assert sources.ids == ()
