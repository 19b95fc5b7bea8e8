"""Nothing that lets somebody in is shown: not in errors, not in lists, not in a traceback."""

import json
from pathlib import Path

import pytest

from cluster.cli.config import resolved_settings
from cluster.database import Database
from cluster.errors import DatabaseError, SettingsError, StorageError, VectorDatabaseError
from cluster.masking import is_secret, without_password
from cluster.settings import load_settings, resolve_settings
from cluster.storage import ByteStore
from ingestion.index import PassageIndex

PLANTED = "planted-secret-7f3a"


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("milvus.token", True),
        ("storage.options.aws_secret_access_key", True),
        ("storage.options.client_kwargs.aws_session_token", True),
        ("storage.options.connection_string", True),
        ("storage.options.endpoint_url", False),
        ("tracing.otlp.headers.x-anything", True),
        ("models.0.max_context_tokens", False),
        ("access.keys", False),
        ("access.secret_env", False),
        ("evaluation.outside_models.0.key_variable", False),
        ("tls.key", False),
    ],
)
def test_what_counts_as_a_secret(key: str, secret: bool) -> None:
    assert is_secret(key) is secret


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:pw@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:p/w@d@host/db", "postgresql://me:***@host/db"),
        ("me:pw@host/db", "me:***@host/db"),
        ("postgresql://host/db?user=me&password=pw", "postgresql://host/db?user=me&password=***"),
        ("https://host/hook?sig=pw&v=1", "https://host/hook?sig=***&v=1"),
        ("s3://id:pw@bucket/prefix", "s3://id:***@bucket/prefix"),
        ("http://127.0.0.1:19530", "http://127.0.0.1:19530"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
    assert without_password(shown) == shown


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("EVERLOOP_MILVUS__TOKEN", json.dumps([PLANTED]), "milvus.token"),
        ("EVERLOOP_MILVUS__TOKNE", PLANTED, "milvus.tokne"),
        ("EVERLOOP_STORAGE__OPTIONS", f"key={PLANTED}", "storage"),
        ("EVERLOOP_STORAGE__OPTIONS", json.dumps([PLANTED]), "storage.options"),
        ("EVERLOOP_TRACING__OTLP__HEADERS", json.dumps({"authorization": [PLANTED]}), "headers"),
        ("EVERLOOP_TRACING__OTLP__HEADERS", f"authorization={PLANTED}", "tracing"),
        ("EVERLOOP_ALERTS__WEBHOOKS", f'[{{"url": "hook://me:{PLANTED}@host"}}]', "webhooks.0.url"),
        ("EVERLOOP_ALERTS__WEBHOOKS", f'[{{"secret": "{PLANTED}"}}]', "webhooks.0.secret"),
        ("EVERLOOP_DATABASE__URL", f'["postgresql://me:{PLANTED}@host"]', "database.url"),
        ("EVERLOOP_SECRETT", PLANTED, "EVERLOOP_SECRETT"),
    ],
)
def test_a_setting_that_is_wrong_is_named_and_its_secret_is_not_told(
    variable: str, value: str, named: str
) -> None:
    try:
        settings, _ = resolve_settings(environ={variable: value})
    except SettingsError as error:
        assert named in error.message
        assert PLANTED not in str(error)
        assert PLANTED not in repr(error.__cause__)
    else:
        assert PLANTED not in repr(settings)


def test_what_is_no_secret_is_told() -> None:
    with pytest.raises(SettingsError, match=r"http\.port = '0'"):
        resolve_settings(environ={"EVERLOOP_HTTP__PORT": "0"})


def test_settings_in_a_traceback_or_a_list_show_no_secret() -> None:
    environment = {
        "EVERLOOP_DATABASE__URL": f"postgresql://me:{PLANTED}@host/db",
        "EVERLOOP_MILVUS__URI": f"https://me:{PLANTED}@host:19530",
        "EVERLOOP_MILVUS__TOKEN": PLANTED,
        "EVERLOOP_STORAGE__URL": f"s3://id:{PLANTED}@bucket/prefix",
        "EVERLOOP_STORAGE__OPTIONS": json.dumps({"secret": PLANTED}),
        "EVERLOOP_TRACING__OTLP__HEADERS": json.dumps({"authorization": PLANTED}),
    }
    settings, sources = resolve_settings(environ=environment)
    assert PLANTED not in repr(settings)
    assert PLANTED not in json.dumps(resolved_settings(settings, sources))


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{PLANTED}@127.0.0.1:1/db",
        f"postgresql://127.0.0.1:1/db?user=me&password={PLANTED}",
        f"mysql://me:{PLANTED}@127.0.0.1/db",
        f"postgresql//me:{PLANTED}@127.0.0.1/db",
    ],
)
def test_a_database_that_fails_does_not_tell_its_password(url: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        Database(url, pool_size=1).check()
    assert PLANTED not in str(caught.value)
    assert PLANTED not in repr(caught.value.__cause__)


def test_a_statement_that_fails_does_not_tell_what_it_was_given(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'records.db'}", pool_size=1)
    with pytest.raises(DatabaseError) as caught, database.session() as session:
        session.connection().exec_driver_sql("SELECT ? FROM nowhere", (PLANTED,))
    database.close()
    assert PLANTED not in str(caught.value)
    assert PLANTED not in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (f"s3://id:{PLANTED}@bucket", {"endpoint_url": "http://127.0.0.1:1", "secret": PLANTED}),
        ("nowhere://bucket", {"secret": PLANTED}),
        ("file:///dev/null/x", {"token": PLANTED}),
    ],
)
def test_a_store_that_fails_does_not_tell_its_key(url: str, options: dict[str, str]) -> None:
    with pytest.raises(StorageError) as caught:
        ByteStore(url, options).check()
    assert PLANTED not in str(caught.value)


def test_milvus_that_is_away_does_not_tell_its_token() -> None:
    settings = load_settings()
    index = PassageIndex(
        f"http://me:{PLANTED}@127.0.0.1:1",
        settings.embedding.id,
        8,
        token=PLANTED,
        timeout_s=0.2,
    )
    with pytest.raises(VectorDatabaseError) as caught:
        index.check()
    assert PLANTED not in str(caught.value)
