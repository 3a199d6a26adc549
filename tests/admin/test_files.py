"""What administration does to files: it creates nothing in passing, destroys nothing, and leaves nothing behind."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from banditroute import Router, SQLStore, admin
from banditroute.admin import exports
from banditroute.errors import InvalidConfigurationError, StoreError
from banditroute.store.sql.database import parse

NAME = "Johanna-Mustermann-4711"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "routes.db"


@pytest.fixture
def file_url(path):
    url = f"sqlite:///{path}"
    with Router(arms=["a", "b"], features=1, store=SQLStore(url)) as router:
        for i in range(20):
            router.feedback(router.route([i]).id, quality=1.0)
    return url


@pytest.mark.parametrize("name", ["routes.db", "routes.db-wal", "link.parquet"])
def test_an_export_onto_the_database_is_refused(file_url, path, name):
    target = path.with_name(name)
    if name.startswith("link"):
        target.symlink_to(path)
    with pytest.raises(InvalidConfigurationError, match="is the database itself"):
        admin.export(file_url, target)
    assert admin.verify(file_url) == []


def test_an_export_that_fails_leaves_the_last_one_whole(file_url, tmp_path, monkeypatch):
    target = tmp_path / "log.parquet"
    assert admin.export(file_url, target) == 20
    before = target.read_bytes()

    def fails(url, router=None):
        yield from list(original(url, router=router))
        raise OSError("disk full")

    original = exports.read_tables
    monkeypatch.setattr(exports, "read_tables", fails)
    with pytest.raises(OSError, match="disk full"):
        admin.export(file_url, target)
    assert target.read_bytes() == before
    assert len(pq.read_table(target)) == 20
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".part")] == []


def test_an_export_replaces_a_link_and_does_not_follow_it(file_url, tmp_path):
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("mine")
    (tmp_path / "log.parquet").symlink_to(elsewhere)
    admin.export(file_url, tmp_path / "log.parquet")
    assert elsewhere.read_text() == "mine"
    assert len(pq.read_table(tmp_path / "log.parquet")) == 20


@pytest.mark.parametrize("look", [admin.inspect, admin.verify, lambda url: admin.export(url, "never.parquet")])
def test_looking_creates_and_changes_nothing(tmp_path, look):
    missing = tmp_path / "typo.db"
    with pytest.raises(StoreError, match="there is no file"):
        look(f"sqlite:///{missing}")
    assert list(tmp_path.iterdir()) == []
    missing.touch()
    with pytest.raises(StoreError, match="has no tables of a router"):
        look(f"sqlite:///{missing}")
    assert missing.stat().st_size == 0


def test_erased_text_is_in_no_page_of_the_file_while_routers_run(file_url, path):
    with Router(arms=["a", "b"], features=1, store=SQLStore(file_url), store_prompts=True) as router:
        for i in range(300):
            decision = router.route([i], session=NAME if i % 3 == 0 else "other", tags=[NAME] if i % 3 == 0 else [])
            router.feedback(decision.id, quality=1.0, source=NAME if i % 3 == 0 else "x")
        router.flush()
        assert NAME.encode() in b"".join(each.read_bytes() for each in path.parent.iterdir())
        assert admin.erase(file_url, session=NAME) == 100
        for each in path.parent.iterdir():
            assert NAME.encode() not in each.read_bytes(), each
        router.feedback(router.route([1]).id, quality=1.0)
    for each in path.parent.iterdir():
        assert NAME.encode() not in each.read_bytes(), each


def test_no_dead_row_of_postgresql_holds_what_was_erased(postgresql):
    url = postgresql.database()
    with Router(arms=["a", "b"], features=1, store=SQLStore(url)) as router:
        for i in range(50):
            router.feedback(router.route([i], session=NAME).id, quality=1.0)
    assert admin.erase(url, session=NAME) == 50
    from sqlalchemy import text

    from banditroute.store.sql.database import database_at

    with database_at(parse(url)).engine.connect() as connection:
        size = connection.scalar(text("SELECT pg_relation_size('banditroute_decision')"))
    assert size == 0  # VACUUM gives the empty pages back


@pytest.mark.parametrize(
    "url",
    [
        "mysql://app:hunter2@host/db",
        "postgresql:/app:hunter2@host/db",
        "app:hunter2@host/db",
        " postgresql://app:hunter2@host:port/db",
        "'postgresql://app:hunter2@host/db'",
        "postgresql://app:hunter2@host:99999x/db",
        b"postgresql://app:hunter2@host/db",
    ],
)
def test_no_message_holds_a_password(url):
    with pytest.raises((InvalidConfigurationError, StoreError)) as caught:
        SQLStore(url).open(router="r", arms=(), features_version="1", dimension=2, fold=lambda blob, events: b"")
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in f"{error}{error!r}"
        error = error.__cause__


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg"),
        ("postgresql+asyncpg://u:p@h/d", "postgresql+psycopg"),
        ("sqlite+aiosqlite:///x.db", "sqlite"),
    ],
)
def test_other_spellings_of_an_address_are_understood(given, driver):
    assert parse(given).drivername == driver
