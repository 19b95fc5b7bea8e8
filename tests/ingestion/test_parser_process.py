"""What a loader can do that a document has taken over: nothing but to answer."""

import os
import signal
import socket
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingestion.errors import DocumentError, IngestionError
from ingestion.parser_process import FOLDERS, ParserDiedError, ParserProcess
from ingestion.stored_text import parse_document
from tests.ingestion import documents

LOADER = "tests.ingestion.malicious:load"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's")
Deed = Callable[[str], str]


@pytest.fixture(scope="module")
def leftover() -> Path:
    """The folder of a parser whose owner was killed before any other here was started."""
    folder = Path(tempfile.mkdtemp(prefix=FOLDERS))
    (folder / "note.txt").write_text("x")
    return folder


@pytest.fixture(scope="module")
def process(leftover: Path) -> Iterator[ParserProcess]:
    """A malicious one; the secret is in the environment of whoever starts it."""
    os.environ["EVERLOOP_DATABASE__URL"] = "postgresql://u:planted-secret@host/db"
    os.environ["AWS_SECRET_ACCESS_KEY"] = "planted-secret"
    made = ParserProcess(memory_mib=256, loader=LOADER)
    made.start()
    yield made
    made.close()
    del os.environ["EVERLOOP_DATABASE__URL"], os.environ["AWS_SECRET_ACCESS_KEY"]


@pytest.fixture
def deed(process: ParserProcess) -> Deed:
    """Have it done; how it went."""
    return lambda text: parse_document(process.parse(text.encode(), "bad.txt", 60.0)).text


@pytest.fixture
def port() -> Iterator[int]:
    """Of somebody who listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def shut(process: ParserProcess) -> None:
    """Skips where the kernel or the container lacks what the test is about."""
    assert process.layers is not None
    if not process.layers.is_shut:
        pytest.skip(str(process.layers.missing()))


def test_the_layers_say_what_is_in_force(process: ParserProcess) -> None:
    assert process.layers is not None
    assert process.layers.limits == "in force"
    assert set(process.layers.missing()) <= {"namespaces", "user", "files", "calls"}


@pytest.mark.usefixtures("shut")
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_it_has_no_network(deed: Deed, port: int, kind: str) -> None:
    assert deed(f"{kind} {port}").startswith("refused")


@pytest.mark.usefixtures("shut")
def test_it_reaches_no_unix_socket(deed: Deed, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        assert deed(f"unix {path}").startswith("refused")


@pytest.mark.usefixtures("shut")
@pytest.mark.parametrize(
    "path", ["/etc/shadow", "/etc/passwd", "/proc/self/environ", "/proc/1/maps"]
)
def test_it_reads_no_file_of_the_system(deed: Deed, path: str) -> None:
    assert deed(f"read {path}").startswith("refused")


@pytest.mark.usefixtures("shut")
def test_it_neither_reads_nor_writes_the_data(deed: Deed, tmp_path: Path) -> None:
    (tmp_path / "records.db").write_bytes(b"SQLite format 3")
    tmp_path.chmod(0o777)
    assert deed(f"read {tmp_path}/records.db").startswith("refused")
    assert deed(f"list {tmp_path}").startswith("refused")
    assert deed(f"write {tmp_path}/records.db").startswith("refused")
    assert deed(f"write {tmp_path}/new").startswith("refused")
    assert (tmp_path / "records.db").read_bytes() == b"SQLite format 3"


def test_it_may_write_in_a_folder_of_its_own_that_goes_with_it(deed: Deed) -> None:
    assert deed("keep note.txt") == "written"
    assert deed("read note.txt") == "b'x'"


def test_its_folder_is_shut_to_everybody_else(deed: Deed, process: ParserProcess) -> None:
    assert deed("list .").startswith("[")
    folder = Path(f"/proc/{process.pid}/cwd").readlink()
    user = next(
        line.split()[1]
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
        if line.startswith("Uid:")
    )
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder.stat().st_uid == int(user)


@pytest.mark.usefixtures("process")
def test_a_start_removes_the_folder_of_one_whose_owner_was_killed(leftover: Path) -> None:
    assert not leftover.exists()


def test_its_files_are_bounded(deed: Deed) -> None:
    assert deed("fill").startswith("refused")


def test_its_environment_holds_no_secret(deed: Deed) -> None:
    assert "planted-secret" not in deed("values")
    assert not [name for name in ("EVERLOOP", "AWS", "TOKEN", "KEY") if name in deed("environment")]


@pytest.mark.usefixtures("shut")
def test_it_makes_no_process_and_runs_no_program(deed: Deed, process: ParserProcess) -> None:
    assert process.layers is not None
    if process.layers.calls != "in force":
        pytest.skip(process.layers.calls)
    assert deed("fork").startswith("refused")
    assert deed("run /bin/true").startswith("refused")
    assert deed(f"kill {os.getpid()}").startswith("refused")


def test_threads_are_bounded_by_its_memory(deed: Deed) -> None:
    assert deed("threads") == "bounded"


def test_it_inherits_no_open_file(deed: Deed, tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        fresh = ParserProcess(memory_mib=256, loader=LOADER)
        text = parse_document(fresh.parse(b"descriptors", "bad.txt", 60.0)).text
        fresh.close()
    assert len(text.split(",")) <= 3, text  # its two streams, and the null device


def test_what_a_library_prints_is_no_answer(deed: Deed) -> None:
    assert deed("print") == "printed"
    assert deed("list .") != ""


def test_a_memory_bomb_is_an_error_that_names_the_limit(process: ParserProcess) -> None:
    with pytest.raises(DocumentError, match=r"'bomb.pdf' needs more than 256 MiB of memory"):
        process.parse(b"hoard", "bomb.pdf")


def test_one_that_dies_is_replaced(process: ParserProcess, deed: Deed) -> None:
    with pytest.raises(ParserDiedError, match="exit status 7"):
        process.parse(b"die", "deadly.pdf")
    assert deed("list .") == "[]"


def test_one_that_hangs_is_ended_and_replaced(process: ParserProcess, deed: Deed) -> None:
    with pytest.raises(DocumentError, match=r"'slow.pdf' took longer than 0.5 s"):
        process.parse(b"hang", "slow.pdf", 0.5)
    assert deed("list .") == "[]"


def test_it_ends_with_the_one_that_started_it() -> None:
    made = ParserProcess(memory_mib=256, loader=LOADER)
    starter = threading.Thread(target=made.start)
    starter.start()
    starter.join()
    assert made._process is not None
    assert made._process.wait(10) == -signal.SIGKILL
    made.close()


def test_a_machine_that_cannot_shut_it_is_refused_where_that_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cluster.confinement import Layers

    monkeypatch.setattr(Layers, "is_shut", property(lambda _: False))
    made = ParserProcess(memory_mib=256, required=True, loader=LOADER)
    with pytest.raises(IngestionError, match="cannot be shut off"):
        made.start()
    assert made.pid is None


def test_real_documents_are_read_there() -> None:
    made = ParserProcess(memory_mib=512)
    book = parse_document(made.parse(documents.epub(), "moby.epub", 60.0))
    assert "Call me Ishmael" in book.text
    page = documents.pdf([("Heading1", "Title"), ("BodyText", "Eight lanes of traffic.")])
    assert "Eight lanes" in parse_document(made.parse(page, "a.pdf", 60.0)).text
    made.close()
