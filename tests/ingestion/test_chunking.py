import itertools
import time
from collections.abc import Iterator

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from ingestion.chunking import (
    AutoStrategy,
    ByTitleStrategy,
    ChunkingStrategy,
    SemanticStrategy,
    SentenceStrategy,
    StaticStrategy,
    chunk_document,
    semantic_breakpoints,
)
from ingestion.loaders.pieces import Piece, assemble
from ingestion.passages import Chunk, ParsedDocument


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """One token a word and one a mark: counts that a reader can check."""
    words = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return words


def parsed(*pieces: Piece) -> ParsedDocument:
    text, blocks = assemble(pieces)
    return ParsedDocument(text, tuple(blocks))


def prose(word: str, sentences: int) -> str:
    """Sentences of ten tokens."""
    return " ".join(f"{word.title()} {n} " + "is a fact of note here." for n in range(sentences))


def sample() -> ParsedDocument:
    return parsed(
        Piece("title", "Wings", 1, 0),
        Piece("text", prose("wing", 30), 1),
        Piece("title", "Flaps", 1, 1),
        Piece("text", prose("flap", 12), 2),
        Piece("list", "First point of the list", 2),
        Piece("title", "Fuel", 3, 0),
        Piece("table", "Tank: left; Litres: 40", 3),
        Piece("table", "Tank: right; Litres: 42", 3),
        Piece("text", "Привет 👩‍🚀 漢字です。次の文です。" * 20, 3),
    )


STRATEGIES: list[ChunkingStrategy] = [
    AutoStrategy(),
    StaticStrategy(100, 50),
    StaticStrategy(100, 0),
    SentenceStrategy(60, 20),
    ByTitleStrategy(60, 0),
    SemanticStrategy(60, 80),
]


def fake_embed(texts: list[str]) -> list[list[float]]:
    """Direction by the word that the window speaks about."""
    return [[float("ing" in text), float("lap" in text), float("Tank" in text)] for text in texts]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: f"{strategy.type}")
def test_chunks_are_exact_slices_that_cover_the_text_and_keep_to_the_size(
    strategy: ChunkingStrategy, tokenizer: Tokenizer
) -> None:
    document = sample()
    chunks = chunk_document(document, strategy, tokenizer, fake_embed)
    covered: set[int] = set()
    for ordinal, chunk in enumerate(chunks):
        assert chunk.ordinal == ordinal
        assert document.text[chunk.start : chunk.end] == chunk.text == chunk.text.strip()
        assert 0 < chunk.tokens <= strategy.max_chunk_size_tokens
        assert chunk.tokens == len(tokenizer.encode(chunk.text).ids)
        covered.update(range(chunk.start, chunk.end))
    missing = {n for n in range(len(document.text)) if not document.text[n].isspace()} - covered
    assert not missing


def chunk_of(chunks: list[Chunk], text: str) -> Chunk:
    return next(chunk for chunk in chunks if text in chunk.text)


def test_auto_keeps_sections_and_pages_apart(tokenizer: Tokenizer) -> None:
    chunks = chunk_document(sample(), AutoStrategy(), tokenizer)
    assert not any("Wing 1 " in chunk.text and "Flap 1 " in chunk.text for chunk in chunks)
    flaps = chunk_of(chunks, "Flap 1 ")
    assert flaps.text.startswith("Flaps")
    assert flaps.section == ("Wings", "Flaps")
    tank = chunk_of(chunks, "Tank: left")
    assert (tank.page, tank.page_end, tank.section) == (3, 3, ("Fuel",))


def test_auto_gives_each_page_its_own_passage(tokenizer: Tokenizer) -> None:
    document = parsed(*(Piece("text", f"Page {n} says little.", n) for n in (1, 2, 3)))
    pages = [(c.page, c.page_end) for c in chunk_document(document, AutoStrategy(), tokenizer)]
    assert pages == [(1, 1), (2, 2), (3, 3)]


def test_auto_follows_a_sentence_over_the_page_end(tokenizer: Tokenizer) -> None:
    document = parsed(Piece("text", "The wing is", 1), Piece("text", "very thin.", 2))
    (chunk,) = chunk_document(document, AutoStrategy(), tokenizer)
    assert (chunk.page, chunk.page_end) == (1, 2)


def test_auto_joins_tiny_sections_of_a_page_only(tokenizer: Tokenizer) -> None:
    tiny = parsed(
        Piece("title", "A", 1),
        Piece("text", "Short one.", 1),
        Piece("title", "B", 1),
        Piece("text", "Short two.", 1),
    )
    assert len(chunk_document(tiny, AutoStrategy(), tokenizer)) == 1
    large = parsed(
        Piece("title", "A", 1),
        Piece("text", prose("a", 8), 1),
        Piece("title", "B", 1),
        Piece("text", prose("b", 8), 1),
    )
    assert len(chunk_document(large, AutoStrategy(), tokenizer)) == 2


def test_auto_gives_a_long_record_passages_of_its_own_cut_between_sentences(
    tokenizer: Tokenizer,
) -> None:
    records = [Piece("table", f"id: {word}\ntext: {prose(word, 30)}") for word in ("wing", "flap")]
    chunks = chunk_document(parsed(*records), AutoStrategy(), tokenizer)
    assert len(chunks) == 4
    assert not any("Wing" in chunk.text and "Flap" in chunk.text for chunk in chunks)
    assert all(chunk.text.endswith("here.") for chunk in chunks)


def test_code_is_cut_between_lines(tokenizer: Tokenizer) -> None:
    code = "\n\n".join(f"def f{n}(x):\n    return x + {n}" for n in range(80))
    chunks = chunk_document(parsed(Piece("code", code)), AutoStrategy(), tokenizer)
    assert len(chunks) > 1
    assert all(chunk.text.startswith(("def", "return")) for chunk in chunks)


def test_auto_repeats_the_last_sentence(tokenizer: Tokenizer) -> None:
    chunks = chunk_document(parsed(Piece("text", prose("wing", 40))), AutoStrategy(), tokenizer)
    assert len(chunks) > 1
    for before, chunk in itertools.pairwise(chunks):
        assert before.start < chunk.start < before.end
        assert chunk.text.startswith("Wing")


def test_by_title_never_crosses_a_title(tokenizer: Tokenizer) -> None:
    document = parsed(
        Piece("title", "A"),
        Piece("text", "Short one."),
        Piece("title", "B"),
        Piece("text", "Short two."),
    )
    chunks = chunk_document(document, ByTitleStrategy(), tokenizer)
    assert [(chunk.text, chunk.section) for chunk in chunks] == [
        ("A\n\nShort one.", ("A",)),
        ("B\n\nShort two.", ("B",)),
    ]


def test_sentence_strategy_cuts_between_sentences(tokenizer: Tokenizer) -> None:
    document = parsed(Piece("text", prose("wing", 30)))
    chunks = chunk_document(document, SentenceStrategy(65, 0), tokenizer)
    assert len(chunks) == 5
    assert all(chunk.text.startswith("Wing ") for chunk in chunks)
    assert all(chunk.text.endswith("here.") for chunk in chunks)


def test_static_windows_overlap_by_the_tokens_asked_for(tokenizer: Tokenizer) -> None:
    document = parsed(Piece("text", prose("wing", 60)))
    chunks = chunk_document(document, StaticStrategy(100, 40), tokenizer)
    assert {chunk.tokens for chunk in chunks[:-1]} <= set(range(84, 101))
    for before, chunk in itertools.pairwise(chunks):
        shared = document.text[chunk.start : before.end]
        assert 40 <= len(tokenizer.encode(shared).ids) <= 57


def test_semantic_cuts_where_the_topic_turns(tokenizer: Tokenizer) -> None:
    document = parsed(Piece("text", f"{prose('wing', 8)} {prose('flap', 8)}"))
    chunks = chunk_document(document, SemanticStrategy(220, 90), tokenizer, fake_embed)
    assert len(chunks) > 1
    assert "Flap" not in chunks[0].text


def test_semantic_breakpoints_stand_at_the_largest_distances() -> None:
    vectors = [[1.0, 0.0]] * 4 + [[0.0, 1.0]] * 4 + [[1.0, 1.0]] * 3
    assert semantic_breakpoints(vectors, 95) == [4]
    assert semantic_breakpoints(vectors, 50) == [4, 8]
    assert semantic_breakpoints([[1.0, 0.0]] * 6, 90) == []
    assert semantic_breakpoints([], 90) == []


def test_semantic_without_embeddings_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="embed"):
        chunk_document(sample(), SemanticStrategy(), tokenizer)


def test_a_tokenizer_that_truncates_is_not_obeyed_and_not_changed(tokenizer: Tokenizer) -> None:
    truncating = Tokenizer.from_str(tokenizer.to_str())
    truncating.enable_truncation(8)
    truncating.enable_padding()
    document = parsed(Piece("text", "word " * 500))
    chunks = chunk_document(document, AutoStrategy(), truncating)
    assert sum(chunk.tokens for chunk in chunks) == 500
    assert truncating.truncation is not None


@pytest.mark.parametrize("strategy", [AutoStrategy(), StaticStrategy(100, 0)])
def test_a_run_without_spaces_is_bounded(strategy: ChunkingStrategy, tokenizer: Tokenizer) -> None:
    document = parsed(Piece("text", "x" * 50_000))
    chunks = chunk_document(document, strategy, tokenizer)
    assert all(len(chunk.text) <= 16 * strategy.max_chunk_size_tokens for chunk in chunks)
    assert "".join(chunk.text for chunk in chunks) == document.text


def test_a_megabyte_is_cut_in_seconds(tokenizer: Tokenizer) -> None:
    def pieces() -> Iterator[Piece]:
        for _ in range(300):
            yield Piece("text", prose("wing", 120))

    document = parsed(*pieces())
    assert len(document.text) > 1_000_000
    started = time.process_time()
    chunk_document(document, AutoStrategy(), tokenizer)
    assert time.process_time() - started < 8
