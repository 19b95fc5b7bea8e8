"""Finding prompts by reference."""

import pytest

from cluster.database import Database
from cluster.errors import DatabaseError
from deployments.errors import NotFound
from deployments.prompts.book import PROMPT_TTL_S, STALE_S, PromptBook
from deployments.prompts.versions import delete_prompt, require_prompt
from tests.deployments.prompts.making import make_version, user_says


class Clock:
    """Seconds that a test lets pass."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(database: Database, clock: Clock) -> PromptBook:
    return PromptBook(database, clock=clock)


async def _said(book: PromptBook, reference: str) -> str:
    return (await book.find(reference)).render()[0]["content"]


async def test_a_version_is_found_by_number_label_digest_and_latest(
    database: Database, book: PromptBook
) -> None:
    first = await make_version(database, "greeting", user_says("one"), "production")
    await make_version(database, "greeting", user_says("two"), "staging")
    await make_version(database, "greeting", user_says("three"))
    said = {
        reference: await _said(book, f"greeting{reference}")
        for reference in ("", "@1", "@2", "@staging", f"@{first}", "@latest")
    }
    assert list(said.values()) == ["one", "one", "two", "two", "one", "three"]
    assert (await book.find("greeting")).version == f"greeting@{first}"


async def test_without_production_the_last_version_answers(
    database: Database, book: PromptBook
) -> None:
    await make_version(database, "greeting", user_says("one"))
    await make_version(database, "greeting", user_says("two"))
    assert await _said(book, "greeting") == "two"
    with pytest.raises(NotFound, match="no version 'production'"):
        await book.find("greeting@production")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("nothing", "There are: greeting, grounded_answer"),
        ("greeting@9", "numbers 1 to 1, and the labels: staging"),
        ("greeting@nowhere", "no version 'nowhere'"),
        ("greeting@000000000000", "no version '000000000000'"),
        ("grounded_answer@7", "is a file of Everloop"),
    ],
)
async def test_what_is_not_there_is_told_with_what_is(
    database: Database, book: PromptBook, reference: str, said: str
) -> None:
    await make_version(database, "greeting", user_says("one"), "staging")
    with pytest.raises(NotFound, match=said):
        await book.find(reference)


async def test_a_moved_label_is_seen_once_what_was_kept_is_old(
    database: Database, book: PromptBook, clock: Clock
) -> None:
    await make_version(database, "greeting", user_says("one"), "production")
    assert await _said(book, "greeting") == "one"
    await make_version(database, "greeting", user_says("two"), "production")
    assert await _said(book, "greeting") == "one"
    clock.now = PROMPT_TTL_S
    assert await _said(book, "greeting") == "two"


async def test_a_deleted_prompt_is_found_by_its_digest_alone(
    database: Database, book: PromptBook
) -> None:
    digest = await make_version(database, "greeting", user_says("one"), "production")
    await database.run(lambda session: delete_prompt(session, require_prompt(session, "greeting")))
    for reference in ("greeting", "greeting@1", "greeting@production"):
        with pytest.raises(NotFound):
            await book.find(reference)
    assert await _said(book, f"greeting@{digest}") == "one"


async def test_with_the_database_down_the_last_answer_holds_for_a_while(
    database: Database, book: PromptBook, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = await make_version(database, "greeting", user_says("one"), "production")
    await book.find("greeting")
    assert await book.default("greeting") is not None

    async def down(*_arguments: object, **_options: object) -> None:
        raise DatabaseError("The records are down.")

    monkeypatch.setattr(database, "run", down)
    clock.now = STALE_S - 1
    assert await _said(book, "greeting") == "one"
    assert await book.default("greeting") is not None
    clock.now = STALE_S + 1
    with pytest.raises(DatabaseError):
        await book.find("greeting")
    assert await book.default("greeting") is None
    assert await _said(book, f"greeting@{digest}") == "one"


async def test_a_file_is_found_unless_the_records_have_its_name(
    database: Database, book: PromptBook
) -> None:
    packaged = await book.find("grounded_answer")
    assert packaged.version == book.library.get("grounded_answer").version
    assert (await book.find(packaged.version)).version == packaged.version
    await make_version(database, "grounded_answer", user_says("mine"))
    assert await _said(PromptBook(database), "grounded_answer") == "mine"
    book = PromptBook(database)
    assert (await book.find(packaged.version)).version == packaged.version


async def test_a_default_prompt_is_replaced_by_one_in_production_only(
    database: Database, book: PromptBook, clock: Clock
) -> None:
    await make_version(database, "grounded_answer", user_says("mine"))
    assert await book.default("grounded_answer") is None
    await make_version(database, "grounded_answer", user_says("mine"), "production")
    assert await book.default("grounded_answer") is None, "what was read is kept"
    clock.now = PROMPT_TTL_S
    found = await book.default("grounded_answer")
    assert found is not None
    assert found.render()[0]["content"] == "mine"
