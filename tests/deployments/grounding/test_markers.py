"""Markers leave the stream, whatever pieces they come in."""

import pytest

from deployments.gateway.grounding.markers import MarkerFilter, strip_markers

CASES = [
    ("The sky is blue [1].", "The sky is blue."),
    ("Blue [1][2]. Green [3, 4].", "Blue. Green."),
    ("Blue【1†source】.", "Blue."),
    ("Blue [Passage 2] and green (passage 3).", "Blue and green."),
    ("[1] The sky is blue.", "The sky is blue."),
    ("A list [of words] stays (really).", "A list [of words] stays (really)."),
    ("A [1](https://example.org) link stays.", "A [1](https://example.org) link stays."),
    ("An open bracket [", "An open bracket ["),
    ("In (1987) and (see 2).", "In (1987) and (see 2)."),
    ("Ends with a marker [12]", "Ends with a marker"),
]


@pytest.mark.parametrize(("written", "shown"), CASES)
def test_markers_are_taken_out(written: str, shown: str) -> None:
    assert strip_markers(written) == shown


@pytest.mark.parametrize(("written", "shown"), CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_pieces_do_not_matter(written: str, shown: str, size: int) -> None:
    markers = MarkerFilter()
    pieces = [markers.feed(written[i : i + size]) for i in range(0, len(written), size)]
    assert "".join(pieces) + markers.finish() == shown


def test_ordinary_text_is_not_held_back() -> None:
    markers = MarkerFilter()
    assert markers.feed("The") == "The"
    assert markers.feed(" sky") == " sky"
    assert markers.feed(" is [") == " is"
    assert markers.feed("very] blue") == " [very] blue"
