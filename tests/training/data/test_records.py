"""Examples go to JSON and back, and their digests do not depend on how they were written."""

from io import BytesIO

from hypothesis import given, settings

from tests.training.data.samples import chat, examples, jsonl, said
from training.data.reading import read_dataset
from training.data.records import digest, dump_example, load_example, write_rows
from training.data.rows import Row
from training.examples import Example, TextExample


@given(examples)
@settings(max_examples=60, deadline=None)
def test_an_example_survives_writing_and_reading(example: Example) -> None:
    assert load_example(dump_example(example)) == example
    stream = BytesIO()
    assert write_rows([Row(1, example)], stream) == len(stream.getvalue())
    stream.seek(0)
    read = read_dataset(stream)
    assert read.problems == ()
    assert read.examples() == [example]
    assert digest(read.examples()[0]) == digest(example)


def test_the_order_of_keys_is_kept_and_does_not_change_the_digest() -> None:
    first, second = read_dataset(
        jsonl(
            chat(said("user"), {"role": "assistant", "content": "Hi."}),
            chat(said("user"), {"content": "Hi.", "role": "assistant"}),
        )
    ).examples()
    assert dump_example(first) != dump_example(second)
    assert digest(first) == digest(second)


def test_kinds_and_weights_change_the_digest() -> None:
    plain, weighted, text = (
        *read_dataset(
            jsonl(
                chat(said("assistant", "a"), said("assistant", "b")),
                chat(said("assistant", "a", weight=0), said("assistant", "b")),
            )
        ).examples(),
        TextExample("a", "b"),
    )
    assert len({digest(plain), digest(weighted), digest(text)}) == 3
