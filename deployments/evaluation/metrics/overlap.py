"""How much of their words and characters an answer and its reference share."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from deployments.errors import InvalidRequest
from deployments.evaluation.cases import Score
from deployments.evaluation.metrics.metric import Metric, MetricInput
from deployments.evaluation.metrics.scoring import Judge, one_by_one, reference_texts
from training.data.texts import words
from training.gate.metrics import Observation, token_f1

__all__ = ["OVERLAP_METRICS"]

_ORDERS: Final = 4
_ROUGE_OPTIONS: Final = {"stemmer": bool, "tokenizer": Literal["ascii", "words"]}


def _bleu(options: Mapping[str, Any]) -> Judge:
    from sacrebleu.metrics import BLEU

    bleu = BLEU(
        effective_order=True,
        lowercase=options.get("lowercase", False),
        tokenize=options.get("tokenize", "13a"),
    )

    def judge(answer: MetricInput) -> Score:
        found = bleu.sentence_score(answer.prediction, reference_texts(answer.reference))
        detail = {
            "matches": found.counts,
            "totals": found.totals,
            "length": found.sys_len,
            "reference_length": found.ref_len,
        }
        return Score(found.score, detail=detail)

    return judge


def _corpus_bleu(scores: Sequence[Score]) -> dict[str, float]:
    from sacrebleu.metrics import BLEU

    details = _details(scores)
    if not details:
        return {}
    whole = BLEU.compute_bleu(
        correct=[sum(detail["matches"][order] for detail in details) for order in range(_ORDERS)],
        total=[sum(detail["totals"][order] for detail in details) for order in range(_ORDERS)],
        sys_len=sum(detail["length"] for detail in details),
        ref_len=sum(detail["reference_length"] for detail in details),
        smooth_method="exp",
    )
    return {"corpus_bleu": float(whole.score)}


def _chrf(options: Mapping[str, Any]) -> Judge:
    from sacrebleu.metrics import CHRF

    word_order = options.get("word_order", 0)
    chrf = CHRF(word_order=word_order, lowercase=options.get("lowercase", False))

    def judge(answer: MetricInput) -> Score:
        references = [[text] for text in reference_texts(answer.reference)]
        # sacrebleu returns no counts with a chrF, and a corpus's chrF is made of them.
        counts = chrf._extract_corpus_statistics([answer.prediction], references)[0]
        value = chrf._compute_score_from_stats(counts).score
        return Score(value, detail={"counts": counts, "word_order": word_order})

    return judge


def _corpus_chrf(scores: Sequence[Score]) -> dict[str, float]:
    from sacrebleu.metrics import CHRF

    details = _details(scores)
    if not details:
        return {}
    chrf = CHRF(word_order=details[0]["word_order"])
    whole = chrf._aggregate_and_compute([detail["counts"] for detail in details])
    return {"corpus_chrf": float(whole.score)}


def _details(scores: Sequence[Score]) -> list[Mapping[str, Any]]:
    return [score.detail for score in scores if score.value is not None]


def _gleu(_options: Mapping[str, Any]) -> Judge:
    from nltk.translate.gleu_score import sentence_gleu
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    split = Tokenizer13a()

    def judge(answer: MetricInput) -> Score:
        references = [split(text).split() for text in reference_texts(answer.reference)]
        return Score(float(sentence_gleu(references, split(answer.prediction).split())))

    return judge


class _Words:
    """A tokenizer for rouge_score that keeps other letters than a to z."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


def _tokenizer(options: Mapping[str, Any]) -> Any:
    from rouge_score.tokenizers import DefaultTokenizer

    stemmer = options.get("stemmer", False)
    if options.get("tokenizer", "ascii") == "ascii":
        return DefaultTokenizer(stemmer)
    if stemmer:
        raise InvalidRequest(
            "options.stemmer: the stemmer knows English only, and goes with the tokenizer 'ascii'.",
            param="options.stemmer",
        )
    return _Words()


def _rouge(order: int) -> Callable[[Mapping[str, Any]], Judge]:
    def prepare(options: Mapping[str, Any]) -> Judge:
        from rouge_score.rouge_scorer import RougeScorer

        name = f"rouge{order}"
        scorer = RougeScorer([name], tokenizer=_tokenizer(options))

        def judge(answer: MetricInput) -> Score:
            targets = reference_texts(answer.reference)
            return _rouge_score(scorer.score_multi(targets, answer.prediction)[name])

        return judge

    return prepare


def _rouge_l(options: Mapping[str, Any]) -> Judge:
    """As rouge_score's, whose table of all pairs of words takes a second for 3,000 words."""
    from rapidfuzz.distance import LCSseq
    from rouge_score.scoring import Score as RougeScore
    from rouge_score.scoring import fmeasure

    split = _tokenizer(options).tokenize

    def judge(answer: MetricInput) -> Score:
        said = split(answer.prediction)
        found = []
        for text in reference_texts(answer.reference):
            wanted = split(text)
            length = LCSseq.similarity(said, wanted)
            precision, recall = length / max(1, len(said)), length / max(1, len(wanted))
            found.append(RougeScore(precision, recall, fmeasure(precision, recall)))
        return _rouge_score(max(found, key=lambda one: float(one.fmeasure)))

    return judge


def _rouge_score(found: Any) -> Score:
    detail = {"precision": float(found.precision), "recall": float(found.recall)}
    return Score(float(found.fmeasure), detail=detail)


def _fuzzy_match(_options: Mapping[str, Any]) -> Judge:
    from rapidfuzz import fuzz

    def judge(answer: MetricInput) -> Score:
        references = reference_texts(answer.reference)
        return Score(max(fuzz.ratio(answer.prediction, text) for text in references) / 100)

    return judge


def _token_f1(_options: Mapping[str, Any]) -> Judge:
    def judge(answer: MetricInput) -> Score:
        references = reference_texts(answer.reference)
        return Score(max(token_f1(Observation(answer.prediction, text)) for text in references))

    return judge


def _rouge_metric(name: str, what: str, prepare: Callable[[Mapping[str, Any]], Judge]) -> Metric:
    return Metric(
        name,
        f"ROUGE, F-measure of {what} (package rouge-score); its words are of a to z and 0 to 9, "
        "or with `tokenizer: words` of any script.",
        one_by_one(prepare),
        reference="texts",
        options=_ROUGE_OPTIONS,
    )


OVERLAP_METRICS: Final = (
    Metric(
        "bleu",
        "BLEU of the sentence, 0 to 100, with effective order; its summary is the corpus BLEU "
        "(package sacrebleu).",
        one_by_one(_bleu),
        reference="texts",
        options={"lowercase": bool, "tokenize": Literal["13a", "intl", "char", "zh", "none"]},
        best=100.0,
        summarise=_corpus_bleu,
    ),
    Metric(
        "chrf",
        "chrF of the sentence, 0 to 100, with `word_order: 2` chrF++; its summary is the corpus "
        "chrF (package sacrebleu).",
        one_by_one(_chrf),
        reference="texts",
        options={"word_order": Annotated[int, Field(ge=0, le=2)], "lowercase": bool},
        best=100.0,
        summarise=_corpus_chrf,
    ),
    Metric(
        "gleu",
        "Google's BLEU of the sentence, over the tokens that BLEU has (package nltk).",
        one_by_one(_gleu),
        reference="texts",
    ),
    *(
        _rouge_metric(f"rouge_{order}", f"shared runs of {order} words", _rouge(order))
        if order > 1
        else _rouge_metric("rouge_1", "shared words", _rouge(1))
        for order in range(1, 6)
    ),
    _rouge_metric("rouge_l", "the longest common subsequence of words", _rouge_l),
    Metric(
        "fuzzy_match",
        "Normalised similarity by insertions and deletions of characters (package rapidfuzz, "
        "`fuzz.ratio`, of 1).",
        one_by_one(_fuzzy_match),
        reference="texts",
    ),
    Metric(
        "token_f1",
        "F1 of the words that answer and reference share, in any script, as the promotion gate "
        "measures it.",
        one_by_one(_token_f1),
        reference="texts",
    ),
)
