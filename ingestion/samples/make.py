"""Writes the sample corpus: `python -m ingestion.samples.make`.

The corpus is Everloop's own handbook, in one file per format, so that the first question a new
user asks is one they have. The files are committed; this script is how they were made. Facts that
stand in the code (settings, limits, states) are read from the code.
"""

import csv
from pathlib import Path
from typing import Final

from cluster.settings import Settings

HERE: Final = Path(__file__).parent

GUIDE: Final[list[tuple[str, list[str]]]] = [
    (
        "What Everloop is",
        [
            "Everloop runs the whole life of a large language model as one closed loop on one Ray "
            "cluster. Documents become grounded answers. Answers become scores and feedback. Scores "
            "and feedback become training data. Only an adapter that proves better than the one in "
            "service gets to answer.",
            "The same program runs on a laptop without a GPU and on an autoscaled GPU cluster. One "
            "settings file makes the difference. Everloop is licensed under the Apache License 2.0.",
            "Everloop is made for a small platform team that has documents and an open model, and "
            "wants an endpoint that answers from those documents with citations.",
        ],
    ),
    (
        "Ports and addresses",
        [
            "The HTTP interface listens on port 8000 of the loopback address. The Ray dashboard "
            "listens on port 8265. The embedded Milvus Lite server listens on port 19530. Ray's "
            "global control store listens on port 6379.",
            "Every port is bound to 127.0.0.1 in the local profile, so nothing can be reached from "
            "another machine until you change the setting http.host.",
            "The route /healthz says that the gateway runs. The route /readyz says that the database, "
            "the byte store, Milvus and every model are ready, and answers 503 until they are.",
        ],
    ),
    (
        "When something breaks",
        [
            "A model replica whose engine makes no progress for 30 seconds while it has work counts "
            "as hung. Ray Serve then stops the replica and starts a new one.",
            "When the Milvus Lite server is killed, its keeper starts it again on the same data. "
            "Searches wait for it meanwhile and no passage is lost.",
            "When the Ingestor is killed, Ray Serve starts it again. It takes up every file that was "
            "not finished. A file is tried three times before it is marked as failed.",
            "When the queue of a model is full, the gateway answers 429 and names in the Retry-After "
            "header how many seconds to wait.",
        ],
    ),
]

ANSWER_PATH: Final[list[tuple[str, list[str]]]] = [
    (
        "How a question becomes an answer",
        [
            "The Gateway takes the question and asks the Retriever for passages. The Retriever embeds "
            "the question while BM25 already searches, then fuses both rankings.",
            "Passages are packed into the prompt in the order of their rank. Whole passages go first. "
            "The trace of the request says which passages were left out and why.",
        ],
    ),
    (
        "Where citations come from",
        [
            "Citations never depend on the model writing markers. The platform ties each sentence of "
            "the answer to the passages that support it, and marks a sentence without support as "
            "unsupported.",
            "A sentence that holds a number which stands in no passage is never marked as supported.",
        ],
    ),
    (
        "When nothing supports an answer",
        [
            "When no passage supports an answer, Everloop says that it does not know. The model is "
            "not asked at all in that case.",
        ],
    ),
    (
        "What is recorded",
        [
            "Every request has a trace. The trace holds the question, the passages with their scores, "
            "the version of the prompt, the model, the number of tokens and the time of each stage.",
            "The Evaluator scores answers after they were sent. It measures groundedness, answer "
            "relevance and retrieval precision, and writes the scores to the trace.",
        ],
    ),
]

DOCUMENT_PATH: Final[list[tuple[str, list[str]]]] = [
    (
        "From bytes to passages",
        [
            "A file that is attached to a vector store passes through the states queued, parsing, "
            "chunking, embedding and indexing. It ends as completed or as failed.",
            "A failed file names the stage and the reason. A file that fails never stops the others.",
        ],
    ),
    (
        "Replacing and deleting",
        [
            "A file that has the name of an earlier file in the same store replaces it. The old "
            "version stays searchable until the new version is whole. Then the switch happens in one "
            "database transaction.",
            "A deleted file is invisible at once. Its passages are then removed from Milvus.",
        ],
    ),
    (
        "Ways to cut a document",
        [
            "Five chunking strategies exist: auto, static, sentence, by_title and semantic. The "
            "strategy auto keeps sections apart and never cuts a sentence that fits.",
            "The strategy semantic cuts where neighbouring sentences are far apart in meaning.",
        ],
    ),
]

FAQ: Final = """# Frequently asked questions

## Which model answers by default?

The local profile serves SmolLM2-135M-Instruct, a model of 135 million parameters that runs on a
CPU. It is small: it copies facts from passages well and reasons badly.

## How do I use my own model?

Set `models` in a settings file that `EVERLOOP_CONFIG` names. A model's source is a local folder or
a hub id. The profile `gpu` is a starting point for machines with GPUs.

## Which client do I need?

Any OpenAI client. Set its base URL to `http://127.0.0.1:8000/v1`. The official `openai` package
for Python works unchanged.

## How do I stop everything?

Run `make down` or `everloop down`. Both stop what `up` started and nothing else. Your documents
stay in the data folder, which is `~/.everloop` unless you set `EVERLOOP_DATA_DIR`.

## How large may a file be?

An upload may have up to 512 MiB. A vector store may hold up to 10,000 files.

## Can I use PostgreSQL and S3?

Yes. Set `EVERLOOP_DATABASE__URL` to a PostgreSQL URL and `EVERLOOP_STORAGE__URL` to an S3 URL such
as `s3://bucket/prefix`. Set `EVERLOOP_MILVUS__URI` to use a Milvus server of your own.
"""


def write_pdf(path: Path) -> None:
    """The operator's guide: one chapter a page, so that a citation names a page one can check."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Spacer

    styles = getSampleStyleSheet()
    story: list[object] = []
    for number, (title, paragraphs) in enumerate(GUIDE, start=1):
        story.append(Paragraph(f"{number}. {title}", styles["Heading1"]))
        for text in paragraphs:
            story += [Paragraph(text, styles["BodyText"]), Spacer(1, 8)]
        if number < len(GUIDE):
            story.append(PageBreak())
    SimpleDocTemplate(str(path), pagesize=A4, title="Everloop operator's guide", invariant=1).build(
        story
    )


def write_docx(path: Path) -> None:
    """The answer path."""
    from docx import Document

    document = Document()
    document.add_heading("The answer path", level=0)
    for title, paragraphs in ANSWER_PATH:
        document.add_heading(title, level=1)
        for text in paragraphs:
            document.add_paragraph(text)
    document.save(str(path))


def write_html(path: Path) -> None:
    """The document path."""
    body = "\n".join(
        f"<h2>{title}</h2>\n" + "\n".join(f"<p>{text}</p>" for text in paragraphs)
        for title, paragraphs in DOCUMENT_PATH
    )
    path.write_text(
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f"<title>The document path</title></head>\n<body>\n<h1>The document path</h1>\n{body}\n"
        "</body>\n</html>\n"
    )


def write_csv(path: Path) -> None:
    """Every setting with its default and meaning, read from the settings themselves."""
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["setting", "environment variable", "default", "meaning"])
        for name, field in Settings.model_fields.items():
            section = type(field.default)
            if not hasattr(section, "model_fields"):
                continue
            for key, item in section.model_fields.items():
                default = item.get_default(call_default_factory=True)
                variable = f"EVERLOOP_{name}__{key}".upper()
                rows.writerow([f"{name}.{key}", variable, default, item.description or ""])


def main() -> None:
    """Write all five files beside this script."""
    write_pdf(HERE / "operator-guide.pdf")
    write_docx(HERE / "answer-path.docx")
    write_html(HERE / "document-path.html")
    (HERE / "faq.md").write_text(FAQ)
    write_csv(HERE / "settings.csv")


if __name__ == "__main__":
    main()
