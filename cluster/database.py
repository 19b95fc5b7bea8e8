"""The records' database: SQLite by default, PostgreSQL by URL. A `session()` is a transaction."""

import asyncio
import contextvars
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import ORMExecuteState, Session, sessionmaker, with_loader_criteria

from cluster.errors import DatabaseError, DatabaseFull
from cluster.fencing import current_fence
from cluster.masking import without_password
from cluster.private_folder import make_private_folder
from cluster.records.base import Owned
from cluster.tenancy import restricted_to

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["Database"]

T = TypeVar("T")

_ATTEMPTS: Final = 4
_FIRST_PAUSE_S: Final = 0.05
_BUSY_TIMEOUT_S: Final = 10
_MIGRATION_LOCK: Final = 0x65766C70  # "evlp": any constant that no other program picks
_WRITTEN: Final = "everloop_written"
_ROLLED_BACK_STATES: Final = frozenset({"40001", "40P01"})  # serialization failure, deadlock
_DISK_FULL: Final = "53100"  # PostgreSQL's state
_MIGRATIONS: Final = Path(__file__).parent / "migrations"


class Database:
    """Connections to the records.

    A commit that returned survives kill -9 and power loss (SQLite: WAL with synchronous=FULL).
    While a project acts (`cluster.tenancy`), every query sees its records only.
    Foreign errors become DatabaseError, which names the URL without its password; constraint
    violations (IntegrityError, DataError) pass as they are, for they are the caller's.
    """

    def __init__(self, url: str, pool_size: int = 5) -> None:
        self._url = _parse(url)
        self._engine = _create_engine(self._url, pool_size)
        self._reader = self._engine.execution_options(
            everloop_read_only=True,
            **({} if self.is_sqlite else {"postgresql_readonly": True}),
        )
        self._writing = sessionmaker(self._engine, expire_on_commit=False)
        self._reading = sessionmaker(self._reader, expire_on_commit=False)
        for factory in (self._writing, self._reading):
            event.listen(factory, "do_orm_execute", _see_own_only)
        event.listen(self._writing, "do_orm_execute", _note_statement)
        event.listen(self._writing, "after_flush", _note_flush)
        self._threads = ThreadPoolExecutor(pool_size, thread_name_prefix="database")

    @property
    def url(self) -> str:
        """The URL without its password, for messages."""
        return without_password(self._url.render_as_string(hide_password=True))

    @property
    def is_sqlite(self) -> bool:
        """Whether the records are a file on this machine."""
        return self._url.get_backend_name() == "sqlite"

    @contextmanager
    def session(self, *, read_only: bool = False) -> Iterator[Session]:
        """One transaction: committed at the end of the block, rolled back when it raises.

        `read_only` lets SQLite read beside a writer instead of waiting for its turn to write.
        Objects stay readable after the commit.
        """
        factory = self._reading if read_only else self._writing
        with self._wrapping(), factory.begin() as session:
            yield session
            _ask_fence(session)

    async def run(self, fn: Callable[[Session], T], *, read_only: bool = False) -> T:
        """`fn(session)` in a worker thread, inside one transaction.

        A transaction that the database rolled back (lock, deadlock, lost connection before the
        commit) is tried again, at most four times in all; so `fn` must act on the session only.
        """
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        return await loop.run_in_executor(self._threads, context.run, self._run, fn, read_only)

    def _run(self, fn: Callable[[Session], T], read_only: bool) -> T:
        factory = self._reading if read_only else self._writing
        for attempt in range(1, _ATTEMPTS + 1):
            committing = False
            try:
                with factory.begin() as session:
                    result = fn(session)
                    session.flush()
                    _ask_fence(session)
                    committing = True
            except DBAPIError as error:
                if attempt == _ATTEMPTS or not _may_retry(error, committing):
                    raise self._wrapped(error) from error
                time.sleep(_FIRST_PAUSE_S * 2 ** (attempt - 1))
            except PoolTimeoutError as error:
                raise self._wrapped(error) from error
            else:
                return result
        raise AssertionError("unreachable")

    @contextmanager
    def connection(self, *, read_only: bool = False) -> Iterator[Connection]:
        """One transaction below the records' classes, for whole tables.

        A `read_only` one sees everything as it was at its first query, whatever is written
        meanwhile, and takes as long as it needs.
        """
        engine = self._reader if read_only else self._engine
        if read_only and not self.is_sqlite:
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with self._wrapping(), engine.begin() as connection:
            if not self.is_sqlite:
                connection.execute(text("SET LOCAL statement_timeout = 0"))
            yield connection

    def schema(self) -> str | None:
        """The version the records stand at; None where there are none."""
        if self.is_sqlite and not Path(self._url.database or "").is_file():
            return None
        with self._wrapping(), self._reader.connect() as connection:
            return _revision(connection)

    def keep_copy(self) -> Path | None:
        """Copy a SQLite file of an older schema beside it; None where nothing is to be kept.

        An earlier copy of the same schema is replaced. Raises DatabaseError.
        """
        found = self.schema()
        if not self.is_sqlite or found in {None, _newest_revision()}:
            return None
        source = Path(self._url.database or "")
        target = source.with_name(f"{source.name}.schema-{found}")
        half = target.with_name(f".{target.name}.half")
        try:
            with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(half)) as new:
                old.backup(new)
            half.replace(target)
        except (sqlite3.Error, OSError) as error:
            half.unlink(missing_ok=True)
            raise DatabaseError(
                f"The records {source} cannot be copied before they are migrated: {error}.",
                fix="Make room for a copy of the file.",
            ) from error
        return target

    def migrate(self, to: str = "head") -> None:
        """Bring the schema to the newest version, or from nothing to the version `to`.

        One transaction: what fails leaves all as it was. Concurrent starts wait for one another.
        """
        from alembic import command

        if self.is_sqlite and self._url.database:
            make_private_folder(Path(self._url.database).parent)
        with self._wrapping(), self._engine.begin() as connection:
            if not self.is_sqlite:  # SQLite's BEGIN IMMEDIATE has locked the file already
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            config = _alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, to)

    def check(self) -> None:
        """Raise DatabaseError unless the records answer and stand at this program's schema."""
        if self.is_sqlite and not Path(self._url.database or "").is_file():
            raise DatabaseError(
                f"The records {self.url} do not exist yet.", fix="`everloop up` creates them."
            )
        with self._wrapping(), self._reader.connect() as connection:
            found, wanted = _revision(connection), _newest_revision()
        if found != wanted:
            raise DatabaseError(
                f"The records {self.url} are at schema {found or 'none'}, not {wanted}.",
                fix="`everloop up` migrates them; a newer schema needs a newer Everloop.",
            )

    def close(self) -> None:
        """Close every connection; the object is of no use afterwards."""
        self._threads.shutdown(wait=True)
        self._engine.dispose()

    @contextmanager
    def _wrapping(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, PoolTimeoutError) as error:
            raise self._wrapped(error) from error

    def _wrapped(self, error: SQLAlchemyError) -> Exception:
        if isinstance(error, IntegrityError | DataError):
            return error
        cause = error.orig if isinstance(error, DBAPIError) else error
        if _is_full(cause):
            return DatabaseFull(
                f"There is no space for the records {self.url}.",
                fix="Make room on the database's disk; what was committed is there.",
            )
        return DatabaseError(
            f"The records {self.url} failed: {type(cause).__name__}: {cause}".rstrip() + ".",
            fix="Check that the database runs and that `database.url` is right.",
        )


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise DatabaseError(
            "database.url is not a SQLAlchemy URL.", fix="Such as postgresql://user@host/everloop."
        ) from error
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    backend = parsed.drivername.split("+")[0]
    if backend not in {"sqlite", "postgresql"} or (backend == "sqlite" and not parsed.database):
        raise DatabaseError(
            f"database.url {without_password(url)} is not supported.",
            fix="Use sqlite:////absolute/path.db or postgresql://user:password@host/name.",
        )
    return parsed


def _create_engine(url: URL, pool_size: int) -> Engine:
    sqlite = url.get_backend_name() == "sqlite"
    arguments: dict[str, Any] = (
        {"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False}
        if sqlite
        else {"connect_timeout": 5, "options": "-c statement_timeout=60000 -c lock_timeout=30000"}
    )
    # One connection more than the threads of `run`, for `session()` on the caller's own thread.
    engine = create_engine(
        url,
        hide_parameters=True,  # an error that is logged holds no text of anybody's
        pool_size=pool_size,
        max_overflow=1,
        pool_timeout=30,
        pool_pre_ping=not sqlite,
        connect_args=arguments,
    )
    if sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _see_own_only(state: ORMExecuteState) -> None:
    """Add the acting project to a query; SQLAlchemy's recipe for global criteria."""
    project_id = restricted_to()
    if project_id is None or not (state.is_select or state.is_update or state.is_delete):
        return
    # Columns and relationships of loaded objects keep the criterion of the query that loaded them.
    if not state.is_column_load and not state.is_relationship_load:
        state.statement = state.statement.options(
            with_loader_criteria(
                Owned, lambda record: record.project_id == project_id, include_aliases=True
            )
        )


def _note_statement(state: ORMExecuteState) -> None:
    if state.is_insert or state.is_update or state.is_delete:
        state.session.info.setdefault(_WRITTEN, [])


def _note_flush(session: Session, _context: object) -> None:
    session.info.setdefault(_WRITTEN, []).extend(session.new)


def _ask_fence(session: Session) -> None:
    fence = current_fence()
    if fence is None:
        return
    session.flush()
    if (made := session.info.get(_WRITTEN)) is not None:
        fence(session, made)


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # `_begin_sqlite` says BEGIN, the driver must not
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_S * 1000}")
    _switch_to_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Write ahead; SQLite does not apply the busy time-out to this switch of a new file."""
    deadline = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_FIRST_PAUSE_S)


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails at once when another one wrote in
    # between, whatever the busy time-out says; an immediate one waits for its turn.
    read_only = connection.get_execution_options().get("everloop_read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _is_full(cause: BaseException | None) -> bool:
    code = getattr(cause, "sqlite_errorcode", None)
    return getattr(cause, "sqlstate", None) == _DISK_FULL or (
        code is not None and code & 0xFF == sqlite3.SQLITE_FULL
    )


def _may_retry(error: DBAPIError, committing: bool) -> bool:
    """Whether the transaction certainly did not happen and a second try may succeed."""
    if getattr(error.orig, "sqlstate", None) in _ROLLED_BACK_STATES:
        return True
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return True
    return error.connection_invalidated and not committing


def _alembic_config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _revision(connection: Connection) -> str | None:
    from alembic.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def _newest_revision() -> str | None:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_alembic_config()).get_current_head()
