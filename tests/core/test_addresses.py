"""Addresses are shown without secrets."""

import pytest

from banditroute.core.addresses import shown_address

SECRET = "s3cr3tPW"


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://user:{SECRET}@127.0.0.1:notaport/db",
        f"user:{SECRET}@127.0.0.1/db",
        f"postgresql:/user:{SECRET}@127.0.0.1/db",
        f"postgresql://user:{SECRET}/x@127.0.0.1/db",
        f"postgresql://user:a@{SECRET}@127.0.0.1:1/db",
        f"postgresql://user:a#{SECRET}@127.0.0.1:1/db",
        f"postgresql://user:a?{SECRET}@127.0.0.1:1/db",
        f"postgresql://127.0.0.1:1/db?user=u&password={SECRET}",
        f"postgresql://127.0.0.1:1/db?user=a@b&password={SECRET}",
        f" postgresql://user:{SECRET}@127.0.0.1:1/db",
        f'"postgresql://user:{SECRET}@127.0.0.1:1/db"',
        f"sqlite:///:memory:?key={SECRET}",
    ],
)
def test_no_secret_is_shown(address):
    assert SECRET not in shown_address(address)


@pytest.mark.parametrize("address", ["decisions.parquet", "sqlite:///a/b.db", "C:\\logs\\a.csv", "what? why#.csv", ""])
def test_plain_paths_stay_as_they_are(address):
    assert shown_address(address) == address


@pytest.mark.parametrize("run", ["x", "key", "a:", "@", " ", "'", "=", "a=b&", "+.-"])
def test_address_of_a_megabyte_is_shown_at_once(run):
    """A pattern that begins again at every character would take hours."""
    assert len(shown_address(run * (1_000_000 // len(run)))) <= 300
