"""Samples in arrays are the samples."""

import pickle

import pytest

from tests.training.tiny import document, samples
from training.tokens.table import SampleTable


def test_what_goes_in_comes_out() -> None:
    pairs = [(document(9, 1), document(12, 2)), (document(5, 3), document(6, 4))]
    table = SampleTable(pairs)
    assert list(table) == pairs
    assert table[-1] == pairs[1]
    assert table[0:1] == pairs[:1]
    assert list(pickle.loads(pickle.dumps(table))) == pairs  # noqa: S301


def test_an_empty_table_is_empty() -> None:
    assert list(SampleTable([])) == []
    with pytest.raises(IndexError):
        SampleTable([])[0]


def test_the_digest_tells_data_apart() -> None:
    data = samples(5)
    assert SampleTable(data).digest() == SampleTable(data).digest()
    assert SampleTable(data).digest() != SampleTable(data[:4]).digest()
    (first,) = data[0]
    one, two = first.first(3), first
    assert SampleTable([(one,), (two,)]).digest() != SampleTable([(one, two)]).digest()
