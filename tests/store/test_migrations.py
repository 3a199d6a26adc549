"""The schema: made by migrations, described by the tables, loaded only where it must change."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from banditroute.store import SQLStore
from banditroute.store.sql import migrations, schema
from banditroute.testing.samples import decision, event, feedback, fold, listen, remembered, summed

RELEASED = sorted((Path(__file__).parent / "schemas").glob("*.sql"))
SCRIPTS = sorted((Path(migrations.__file__).parent / "versions").glob("[0-9]*.py"))


def tables(path: Path) -> dict[str, object]:
    """Columns, keys and indexes of every table, as SQLite sees them."""
    with closing(sqlite3.connect(path)) as connection:
        ask = lambda pragma, name: connection.execute(f"PRAGMA {pragma}('{name}')").fetchall()  # noqa: E731
        found: dict[str, object] = {}
        for name, text in connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall():
            if name != schema.VERSION_TABLE:
                found[name] = {
                    "columns": ask("table_xinfo", name),
                    "references": ask("foreign_key_list", name),
                    "constraints": sorted(re.findall(r"CONSTRAINT \w+ \w+", text)),
                    "indexes": sorted(row[1:] for row in ask("index_list", name)),
                }
        found["indexes"] = sorted(
            (name, sql and " ".join(sql.replace('"', "").split()))
            for name, sql in connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name != ?",
                (schema.VERSION_TABLE,),
            )
        )
        return found


def open_store(path: Path) -> SQLStore:
    store = SQLStore(f"sqlite:///{path}")
    store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    return store


def test_migrating_gives_the_tables_of_the_schema(tmp_path: Path) -> None:
    open_store(tmp_path / "migrated.db").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'fresh.db'}")
    schema.metadata.create_all(engine)
    engine.dispose()
    fresh = tables(tmp_path / "fresh.db")
    assert len(fresh) == 11
    assert tables(tmp_path / "migrated.db") == fresh


@pytest.mark.parametrize("released", RELEASED, ids=lambda path: path.stem)
def test_every_released_schema_is_upgraded_with_what_it_holds(tmp_path: Path, released: Path) -> None:
    """Each file is a router's database as that revision wrote it: 5 decisions, one outcome not folded yet."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(released.read_text())
    open_store(tmp_path / "new.db").close()
    store = SQLStore(f"sqlite:///{path}")
    memory = store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    assert tables(path) == tables(tmp_path / "new.db")
    one = replace(event(1, quality=1.0, cost_usd=2.0), arm="b")
    assert remembered(memory) == summed([one, event(2, quality=1.0)])
    assert [(one.decided_at, one.ordinal) for one in memory.pending] == [(decision(1).decided_at, 0)]
    listener = listen(store)
    store.add_feedback(feedback(3, quality=1.0)).result(30)
    assert [one.ordinal for one in listener.events] == [2]
    store.close()


def test_every_revision_but_the_newest_has_a_released_file() -> None:
    assert {path.stem for path in RELEASED} == {script.stem[:4] for script in SCRIPTS} - {schema.REVISION}


def test_alembic_sees_no_difference(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    open_store(tmp_path / "store.db").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'store.db'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == schema.REVISION
    engine.dispose()


def test_the_newest_revision_is_the_one_of_the_schema() -> None:
    from alembic.script import ScriptDirectory

    assert ScriptDirectory(Path(migrations.__file__).parent).get_current_head() == schema.REVISION
    assert migrations.knows(schema.REVISION)
    assert not migrations.knows("0999")


def test_an_upgrade_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.db"
    upgrade = migrations.upgrade

    def fail(connection: object) -> None:
        upgrade(connection)  # type: ignore[arg-type]
        raise ZeroDivisionError

    monkeypatch.setattr(migrations, "upgrade", fail)
    with pytest.raises(ZeroDivisionError):
        open_store(path)
    monkeypatch.undo()
    assert tables(path) == {"indexes": []}
    store = open_store(path)
    store.add_decision(decision(1))
    store.add_feedback(feedback(1, quality=1.0)).result(30)
    store.close()


def test_only_a_schema_that_must_change_loads_alembic_and_only_a_store_sqlalchemy(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    open_store(path).close()
    script = f"""
import sys
from banditroute.store import SQLStore
assert "sqlalchemy" not in sys.modules, "sqlalchemy"
store = SQLStore("sqlite:///{path}")
store.open(router="r", arms=(), features_version="1", dimension=3, fold=lambda blob, events: b"")
store.close()
assert "sqlalchemy" in sys.modules
assert "alembic" not in sys.modules, "alembic"
"""
    subprocess.run([sys.executable, "-c", script], check=True)
