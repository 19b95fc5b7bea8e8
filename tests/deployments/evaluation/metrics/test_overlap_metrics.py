"""Every measure of overlap equals the library that is its reference, called in the plainest way."""

from collections import Counter
from typing import Any

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.gleu_score import sentence_gleu
from rapidfuzz import fuzz
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from deployments.errors import InvalidRequest
from deployments.evaluation.metrics.registry import find_metric
from tests.fixtures.answers import ANSWER_PAIRS, score, text_inputs
from training.data.texts import words

SAID = [said for said, _ in ANSWER_PAIRS]
WANTED = [wanted for _, wanted in ANSWER_PAIRS]
SECOND = [*WANTED[7:], *WANTED[:7]]
"""Other references for the same answers."""
ROUGE = {
    "rouge_1": "rouge1",
    "rouge_2": "rouge2",
    "rouge_3": "rouge3",
    "rouge_4": "rouge4",
    "rouge_5": "rouge5",
    "rouge_l": "rougeL",
}


async def values(name: str, references: list[Any] = WANTED, **options: Any) -> list[float | None]:
    return [one.value for one in await score(name, text_inputs(SAID, references), **options)]


def near(expected: list[Any]) -> Any:
    return pytest.approx([float(one) for one in expected], abs=1e-6)


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("tokenize", ["13a", "intl", "char", "zh", "none"])
async def test_bleu_is_sacrebleus(lowercase: bool, tokenize: str) -> None:
    scores = await score("bleu", text_inputs(SAID, WANTED), lowercase=lowercase, tokenize=tokenize)
    options = {"lowercase": lowercase, "tokenize": tokenize}
    assert [one.value for one in scores] == near(
        [sacrebleu.sentence_bleu(said, [wanted], **options).score for said, wanted in ANSWER_PAIRS]
    )
    summarise = find_metric("bleu").summarise
    assert summarise is not None
    corpus = sacrebleu.corpus_bleu(SAID, [WANTED], **options).score
    assert summarise(scores) == pytest.approx({"corpus_bleu": corpus}, abs=1e-6)
    assert 0 < corpus < 100


async def test_bleu_of_several_references_is_sacrebleus() -> None:
    # Every third answer has one reference only, which sacrebleu's columns say by None.
    second = [None if number % 3 == 0 else text for number, text in enumerate(SECOND)]
    references = [
        [one] if two is None else [one, two] for one, two in zip(WANTED, second, strict=True)
    ]
    scores = await score("bleu", text_inputs(SAID, references))
    assert [one.value for one in scores] == near(
        [
            sacrebleu.sentence_bleu(said, texts).score
            for said, texts in zip(SAID, references, strict=True)
        ]
    )
    summarise = find_metric("bleu").summarise
    assert summarise is not None
    corpus = sacrebleu.corpus_bleu(SAID, [WANTED, second]).score
    assert summarise(scores) == pytest.approx({"corpus_bleu": corpus}, abs=1e-6)


@pytest.mark.parametrize("word_order", [0, 1, 2])
async def test_chrf_is_sacrebleus(word_order: int) -> None:
    scores = await score("chrf", text_inputs(SAID, WANTED), word_order=word_order)
    assert [one.value for one in scores] == near(
        [
            sacrebleu.sentence_chrf(said, [wanted], word_order=word_order).score
            for said, wanted in ANSWER_PAIRS
        ]
    )
    summarise = find_metric("chrf").summarise
    assert summarise is not None
    corpus = sacrebleu.corpus_chrf(SAID, [WANTED], word_order=word_order).score
    assert summarise(scores) == pytest.approx({"corpus_chrf": corpus}, abs=1e-6)
    assert 0 < corpus < 100


async def test_chrf_of_several_references_is_sacrebleus() -> None:
    references = [list(pair) for pair in zip(WANTED, SECOND, strict=True)]
    scores = await score("chrf", text_inputs(SAID, references))
    summarise = find_metric("chrf").summarise
    assert summarise is not None
    corpus = sacrebleu.corpus_chrf(SAID, [WANTED, SECOND]).score
    assert summarise(scores) == pytest.approx({"corpus_chrf": corpus}, abs=1e-6)


@pytest.mark.parametrize("name", ["bleu", "chrf"])
async def test_a_corpus_has_the_answers_only_that_have_a_score(name: str) -> None:
    summarise = find_metric(name).summarise
    assert summarise is not None
    both = await score(name, text_inputs(["a cat", "a dog"], [["a cat"], None]))
    one = await score(name, text_inputs(["a cat"], [["a cat"]]))
    assert summarise(both) == summarise(one) != {}
    assert summarise(both[1:]) == {}


async def test_gleu_is_nltks_over_bleus_tokens() -> None:
    tokenize = Tokenizer13a()
    assert await values("gleu") == near(
        [
            sentence_gleu([tokenize(wanted).split()], tokenize(said).split())
            for said, wanted in ANSWER_PAIRS
        ]
    )


@pytest.mark.parametrize("stemmer", [False, True])
@pytest.mark.parametrize("name", ROUGE)
async def test_rouge_is_rouge_scores(name: str, stemmer: bool) -> None:
    scorer = RougeScorer([ROUGE[name]], use_stemmer=stemmer)
    expected = [scorer.score(wanted, said)[ROUGE[name]] for said, wanted in ANSWER_PAIRS]
    scores = await score(name, text_inputs(SAID, WANTED), stemmer=stemmer)
    assert [one.value for one in scores] == near([one.fmeasure for one in expected])
    assert [one.detail["precision"] for one in scores] == near([one.precision for one in expected])
    assert [one.detail["recall"] for one in scores] == near([one.recall for one in expected])


@pytest.mark.parametrize("name", ROUGE)
async def test_rouge_of_several_references_is_rouge_scores(name: str) -> None:
    references = [list(pair) for pair in zip(WANTED, SECOND, strict=True)]
    scorer = RougeScorer([ROUGE[name]])
    assert await values(name, references) == near(
        [
            scorer.score_multi(texts, said)[ROUGE[name]].fmeasure
            for said, texts in zip(SAID, references, strict=True)
        ]
    )


class Words:
    def tokenize(self, text: str) -> list[str]:
        return words(text)


@pytest.mark.parametrize("name", ROUGE)
async def test_rouge_over_words_of_any_script(name: str) -> None:
    scorer = RougeScorer([ROUGE[name]], tokenizer=Words())
    expected = [scorer.score(wanted, said)[ROUGE[name]].fmeasure for said, wanted in ANSWER_PAIRS]
    assert await values(name, tokenizer="words") == near(expected)
    place = SAID.index("Москва — столица России")
    assert (await values("rouge_1"))[place] == 0.0
    assert (await values("rouge_1", tokenizer="words"))[place] == 1.0


async def test_the_english_stemmer_goes_with_english_words() -> None:
    with pytest.raises(InvalidRequest, match=r"options\.stemmer"):
        await values("rouge_1", tokenizer="words", stemmer=True)


WORDS = st.lists(st.sampled_from(["a", "b", "cd", "1", "ef", "g"]), max_size=30).map(" ".join)


@given(WORDS, WORDS)
async def test_rouge_l_is_rouge_scores_for_any_words(said: str, wanted: str) -> None:
    expected = RougeScorer(["rougeL"]).score(wanted, said)["rougeL"].fmeasure
    (found,) = await score("rouge_l", text_inputs([said], [wanted]))
    assert found.value == pytest.approx(expected, abs=1e-6)


async def test_fuzzy_match_is_rapidfuzz_ratio_of_1() -> None:
    assert await values("fuzzy_match") == near(
        [fuzz.ratio(said, wanted) / 100 for said, wanted in ANSWER_PAIRS]
    )


async def test_token_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    expected = []
    for said, wanted in ANSWER_PAIRS:
        shared = (Counter(words(said)) & Counter(words(wanted))).total()
        if not words(said) and not words(wanted):
            expected.append(1.0)
        elif not shared:
            expected.append(0.0)
        else:
            precision, recall = shared / len(words(said)), shared / len(words(wanted))
            expected.append(2 * precision * recall / (precision + recall))
    assert await values("token_f1") == near(expected)


@pytest.mark.parametrize("name", ["gleu", "fuzzy_match", "token_f1"])
async def test_of_several_references_the_best_counts(name: str) -> None:
    pairs = [list(pair) for pair in zip(WANTED, SECOND, strict=True)]
    alone = zip(await values(name), await values(name, SECOND), strict=True)
    best = [max(one or 0.0, two or 0.0) for one, two in alone]
    assert await values(name, pairs) == near(best)


@pytest.mark.parametrize("name", ["bleu", "chrf", "gleu", *ROUGE, "fuzzy_match", "token_f1"])
async def test_a_perfect_answer_has_the_best_value(name: str) -> None:
    text = "A sentence of at least five words is right."
    (found,) = await score(name, text_inputs([text], [text]))
    assert found.value == pytest.approx(find_metric(name).best)
