"""Names are data: 2,000 hostile ones come back as they were given, and nothing else happens."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import inspect, select

from banditroute.core.arm import Arm
from banditroute.errors import InvalidConfigurationError, StoreError, UnknownDecisionError
from banditroute.store import MemoryStore, SQLStore
from banditroute.store.sql.database import database_at, parse
from banditroute.store.sql.log import events_of, outcomes_with_decisions
from banditroute.store.sql.retention import records
from banditroute.store.sql.schema import decision as decisions
from banditroute.store.sql.schema import metadata, state
from banditroute.testing.samples import decision, event, feedback, fold, remembered, summed
from tests.support import make_router

PIECES = [
    *("'", '"', "`", ";", "--", "/*", "*/", "\\", "%", "%s", "%(x)s", ":x", "?", "$1", "{}", "{0}", "\n", "\t", "\r"),
    *(
        "'); DROP TABLE banditroute_decision; --",
        "' OR '1'='1",
        "UNION SELECT",
        "NULL",
        "\u202e",
        "\ufeff",
        "🦙",
        "ñ",
        "ß",
    ),
    *("\x01", "\x7f", "\ud7ff", "\U0010ffff", " ", "0", "../", "<script>", "${jndi:x}", "a", "Ａ", "\u0301"),
]
NAMES = 2_000


def hostile(count: int) -> list[str]:
    """Different names of 1 to 255 characters."""
    rng = random.Random(0)
    names = {"x" * 255}
    while len(names) < count:
        names.add("".join(rng.choices(PIECES, k=rng.randint(1, 9)))[:255])
    return sorted(names)


def test_names_come_back_as_they_were_given(url: str) -> None:
    names = hostile(NAMES)
    store = SQLStore(url)
    router = names[0]
    arms = [Arm(name=name) for name in names[:300]]
    store.open(router=router, arms=arms, features_version=names[1], dimension=3, fold=fold)
    tickets = []
    for number, name in enumerate(names):
        made = decision(number, arm=name, session=name, tags=(name, ""))
        store.add_decision(dataclasses.replace(made, reason=name, policy=name), prompt=name)
        part = dataclasses.replace(feedback(number, **{name: 1.0}), source=name)
        tickets.append(store.add_feedback(part))
        if number % 10 == 0:
            store.save_state(name, name.encode())
    for ticket in tickets:
        ticket.result(60)
    store.close()
    memory = store.open(router=router, arms=arms, features_version=names[1], dimension=3, fold=fold)
    store.close()
    expected = [dataclasses.replace(event(number, **{name: 1.0}), arm=name) for number, name in enumerate(names)]
    assert remembered(memory) == summed(expected)
    assert memory.states == {name: name.encode() for name in names[::10]}
    with database_at(parse(url)).engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) >= set(metadata.tables)
        held = connection.execute(outcomes_with_decisions()).all()
        assert [(row.objective, row.source, row.arm) for row in held] == [(name, name, name) for name in names]
        assert len(events_of(held)) == NAMES
        rows = records(connection, list(connection.scalars(select(decisions.c.id)))).to_pylist()
        assert connection.scalar(select(state.c.router).limit(1)) == router
    for name, row in zip(names, rows, strict=True):
        assert (row["arm"], row["session"], row["tags"], row["prompt"]) == (name, name, [name, ""], name)
        assert row["outcomes"] == [(name, 1.0)]
        assert row["arms"] == [name, f"not {name}"]


@pytest.mark.parametrize("name", ["", "x" * 256, "\x00", "\ud800", None, 1])
def test_a_name_of_state_that_no_database_holds_is_refused(url: str, name: object) -> None:
    store = SQLStore(url)
    store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    with pytest.raises(InvalidConfigurationError, match="save_state"):
        store.save_state(name, b"")  # type: ignore[arg-type]
    store.save_state("good", b"1")
    store.close()
    memory = store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    assert memory.states == {"good": b"1"}
    store.close()


@pytest.mark.parametrize("seed", range(40))
def test_any_bytes_for_a_database_are_refused_in_words(path: Path, seed: int) -> None:
    """Damage in the file's pages: refused, or what was folded is as it was."""
    rng = np.random.default_rng(seed)
    store = SQLStore(f"sqlite:///{path}")
    store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    for number in range(50):
        store.add_decision(decision(number, arm="ab"[number % 2]))
        store.add_feedback(feedback(number, quality=1.0))
    store.close()
    content = np.frombuffer(path.read_bytes(), dtype=np.uint8).copy()
    for at in rng.integers(len(content), size=40):
        content[at] ^= 1 << rng.integers(8)
    path.write_bytes(content.tobytes())
    try:
        memory = store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    except StoreError:
        return
    store.close()
    whole = summed(dataclasses.replace(event(n, quality=1.0), arm="ab"[n % 2]) for n in range(50))
    for name, values in summed([], memory.statistics).items():
        if name in whole:  # another is no arm of the router
            assert values == whole[name]


@pytest.mark.parametrize("place", ["memory", "sqlite"])
def test_refusal_of_an_unknown_id_repeats_no_megabyte(place, tmp_path):
    store = MemoryStore() if place == "memory" else SQLStore(f"sqlite:///{tmp_path}/ids.db")
    with make_router(store=store) as router:
        for act in (router.escalate, router.feedback, router.correct):
            words = {"signal": 0.5} if act == router.escalate else {"quality": 1.0}
            with pytest.raises(UnknownDecisionError) as refusal:
                act("x" * 1_000_000, **words)
            assert len(str(refusal.value)) < 500
