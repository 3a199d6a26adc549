"""Metadata, against entries written by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.features import Hashed, Metadata

SIDE = math.sqrt(6.0)


def entries(schema, **known):
    return dict(zip(schema.names, schema.transform_one(Request(text="x", **known)).tolist(), strict=True))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, -SIDE), (2000, -SIDE / 2), (4000, 0.0), (8000, SIDE), (9_000_000, SIDE), (1e300, SIDE)],
)
def test_numbers_by_hand(value, expected):
    found = entries(Metadata(numeric={"size": (0, 8000)}), metadata={"size": value})
    assert found == {"metadata.size": pytest.approx(expected), "metadata.size.missing": 0.0}


def test_a_missing_number_is_not_the_middle():
    schema = Metadata(numeric={"input_tokens": (0, 8000), "age": (-1, 1)})
    assert entries(schema) == {
        "metadata.input_tokens": 0.0,
        "metadata.input_tokens.missing": pytest.approx(math.sqrt(2.0)),
        "metadata.age": 0.0,
        "metadata.age.missing": pytest.approx(math.sqrt(2.0)),
    }
    assert entries(schema, input_tokens=4000, metadata={"age": 0.0})["metadata.age.missing"] == 0.0


def test_the_widest_range_overflows_nowhere():
    found = entries(Metadata(numeric={"v": (-1.7e308, 1.7e308)}), metadata={"v": 1.7e308})
    assert found["metadata.v"] == pytest.approx(SIDE)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_a_larger_number_is_never_less(one, other):
    schema = Metadata(numeric={"v": (-5, 10)})
    low, high = (entries(schema, metadata={"v": v})["metadata.v"] for v in sorted((one, other)))
    assert -SIDE <= low <= high <= SIDE


def test_uniform_numbers_have_mean_square_one_with_their_indicator():
    schema = Metadata(numeric={"v": (2, 10)})
    x = np.array([list(entries(schema, metadata={"v": v}).values()) for v in np.linspace(2, 10, 1001)])
    assert np.mean(x) == pytest.approx(0.0, abs=1e-9)
    assert np.mean(x * x) == pytest.approx(1.0, abs=0.01)


@given(st.text())
def test_any_hashed_category_marks_one_slot_and_is_not_missing(value):
    found = entries(Metadata(categorical={"tier": Hashed(slots=5)}), metadata={"tier": value})
    assert sorted(found.values()) == [0.0] * 5 + [pytest.approx(math.sqrt(6.0))]
    assert found["metadata.tier.missing"] == 0.0


def test_declared_values_have_columns_of_their_own_and_other_and_missing_are_apart():
    schema = Metadata(categorical={"tier": ["free", "gold"]})
    for known, column in (({"tier": "free"}, 0), ({"tier": "gold"}, 1), ({"tier": "team"}, 2), ({}, 3)):
        assert list(entries(schema, metadata=known).values()) == [2.0 if i == column else 0.0 for i in range(4)]


def test_several_tags_share_the_mean_square_of_one():
    schema = Metadata(categorical={"tags": ["a", "b", "c"]})
    found = np.array(list(entries(schema, tags=("a", "c")).values()))
    assert found @ found == pytest.approx(5.0)
    assert np.flatnonzero(found).tolist() == [0, 2]


def test_every_number_field_and_category_has_its_block():
    schema = Metadata(
        numeric={"a": (0, 1), "b": (0, 1)}, categorical={"tier": ["free", "gold"], "user": Hashed(slots=8)}
    )
    assert [block.columns for block in schema.blocks] == [4, 4, 9]
    declared, hashed = schema.blocks[1:]
    assert declared.strength > hashed.strength


def test_a_missing_category_has_its_own_entry():
    assert entries(Metadata(categorical={"tier": Hashed(slots=2)})) == {
        "metadata.tier.00": 0.0,
        "metadata.tier.01": 0.0,
        "metadata.tier.missing": pytest.approx(math.sqrt(3.0)),
    }


def test_hashed_categories_are_told_apart_and_the_slots_are_those_of_the_version():
    schema = Metadata(categorical={"tier": Hashed(slots=64)})
    slots = [
        schema.names.index(name)
        for value in ("free", "gold", "team")
        for name, entry in entries(schema, metadata={"tier": value}).items()
        if entry
    ]
    assert slots == PINNED


PINNED = [43, 14, 35]


def test_session_and_tags_come_from_the_request():
    schema = Metadata(categorical={"session": Hashed(slots=64), "tags": Hashed(slots=64)})
    found = entries(schema, session="s1", tags=("a", "b"))
    marked = [name.split(".")[1] for name, entry in found.items() if entry]
    assert marked == ["session", "tags", "tags"]
    assert entries(schema)["metadata.tags.missing"] == pytest.approx(math.sqrt(65.0))
    assert entries(schema, tags=("b", "a")) == entries(schema, tags=("a", "b"))


def test_undeclared_metadata_is_ignored():
    schema = Metadata(categorical={"tier": ["gold"]})
    assert entries(schema, metadata={"tier": "gold", "other": 3.0}) == entries(schema, metadata={"tier": "gold"})


def test_version_names_the_schema():
    schemas = [
        {"numeric": {"a": (0, 1)}},
        {"numeric": {"a": (0.0, 1.0)}},
        {"numeric": {"a": (0, 2)}},
        {"categorical": {"a": Hashed(slots=4)}},
        {"categorical": {"a": Hashed(slots=5)}},
        {"categorical": {"a": ["x"], "b": Hashed(slots=4)}},
        {"categorical": {"b": Hashed(slots=4), "a": ["x"]}},
    ]
    assert len({Metadata(**schema).version for schema in schemas}) == 6


@pytest.mark.parametrize(
    ("schema", "metadata", "message"),
    [
        ({"numeric": {"size": (0, 1)}}, {"size": "large"}, r"metadata 'size' is 'large' \(str\); give a number"),
        ({"numeric": {"size": (0, 1)}}, {"size": True}, r"metadata 'size' is True \(bool\)"),
        ({"numeric": {"size": (0, 1)}}, {"size": math.nan}, "give a finite number"),
        (
            {"categorical": {"tier": ["gold"]}},
            {"tier": 3},
            r"metadata 'tier' is 3 \(int\); it is declared as a category",
        ),
        ({"categorical": {"tier": ["gold"]}}, {"tier": ["gold"]}, "give a string"),
    ],
)
def test_values_of_the_wrong_kind_are_refused(schema, metadata, message):
    with pytest.raises(InvalidRequestError, match=message):
        Metadata(**schema).transform_one(Request(text="x", metadata=metadata))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({}, "declare at least one name"),
        ({"numeric": {"a": (0, 1)}, "categorical": {"a": ["x"]}}, "choose one"),
        ({"numeric": {"a": (1, 1)}}, "ascending order"),
        ({"numeric": {"a": (2, 1)}}, "ascending order"),
        ({"numeric": {"a": (0, math.inf)}}, "finite"),
        ({"numeric": {"a": (0, 1, 2)}}, "two finite numbers"),
        ({"numeric": {"a": "01"}}, "two finite numbers"),
        ({"numeric": {"a": 8}}, "two finite numbers"),
        ({"numeric": {"": (0, 1)}}, "a name in the schema"),
        ({"numeric": {"session": (0, 1)}}, "session cannot be numeric"),
        ({"numeric": {"tags": (0, 1)}}, "tags cannot be numeric"),
        ({"categorical": {"input_tokens": ["x"]}}, "input_tokens cannot be categorical"),
        ({"categorical": {"a": 4}}, r"give a list of 1 to 1,024 values, or Hashed\(slots=...\)"),
        ({"categorical": {"a": "gold"}}, "give a list"),
        ({"categorical": {"a": []}}, "give a list"),
        ({"categorical": {"a": ["x", "x"]}}, "value twice"),
        ({"categorical": {"a": [3]}}, "a value of 'a'"),
    ],
)
def test_unusable_schemas_are_refused(schema, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        Metadata(**schema)


@pytest.mark.parametrize("slots", [0, 1025, True, "4", 2.0])
def test_unusable_numbers_of_slots_are_refused(slots):
    with pytest.raises(InvalidConfigurationError, match=r"slots is .*; give a whole number from 1 to 1,024"):
        Hashed(slots=slots)


def test_changing_the_schema_afterwards_changes_nothing():
    numeric = {"a": (0, 1)}
    schema = Metadata(numeric=numeric)
    numeric["b"] = (0, 1)
    assert schema.dimension == 2


def test_a_request_without_text_is_refused():
    with pytest.raises(InvalidRequestError):
        Metadata(categorical={"tier": ["gold"]}).transform_one(Request(features=np.ones(2), metadata={"tier": "gold"}))
