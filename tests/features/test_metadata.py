"""Metadata, against entries written by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.features import Metadata

SIDE = math.sqrt(3.0)


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
        "metadata.input_tokens.missing": 1.0,
        "metadata.age": 0.0,
        "metadata.age.missing": 1.0,
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


def test_uniform_numbers_have_unit_variance():
    schema = Metadata(numeric={"v": (2, 10)})
    x = [entries(schema, metadata={"v": v})["metadata.v"] for v in np.linspace(2, 10, 1001)]
    assert np.mean(x) == pytest.approx(0.0, abs=1e-9)
    assert np.var(x) == pytest.approx(1.0, abs=0.01)


@given(st.text())
def test_any_category_marks_one_slot_and_is_not_missing(value):
    found = entries(Metadata(categorical={"tier": 5}), metadata={"tier": value})
    assert sorted(found.values()) == [0.0] * 5 + [1.0]
    assert found["metadata.tier.missing"] == 0.0


def test_a_missing_category_has_its_own_entry():
    assert entries(Metadata(categorical={"tier": 2})) == {
        "metadata.tier.00": 0.0,
        "metadata.tier.01": 0.0,
        "metadata.tier.missing": 1.0,
    }


def test_categories_are_told_apart_and_the_slots_are_those_of_the_version():
    schema = Metadata(categorical={"tier": 64})
    slots = [
        schema.names.index(name)
        for value in ("free", "gold", "team")
        for name, entry in entries(schema, metadata={"tier": value}).items()
        if entry
    ]
    assert slots == PINNED


PINNED = [43, 14, 35]


def test_session_and_tags_come_from_the_request():
    schema = Metadata(categorical={"session": 64, "tags": 64})
    found = entries(schema, session="s1", tags=("a", "b"))
    marked = [name.split(".")[1] for name, entry in found.items() if entry]
    assert marked == ["session", "tags", "tags"]
    assert entries(schema)["metadata.tags.missing"] == 1.0
    assert entries(schema, tags=("b", "a")) == entries(schema, tags=("a", "b"))


def test_what_is_not_declared_is_not_read():
    schema = Metadata(categorical={"tier": 4})
    assert entries(schema, metadata={"tier": "gold", "other": 3.0}) == entries(schema, metadata={"tier": "gold"})


def test_version_names_the_schema():
    schemas = [
        {"numeric": {"a": (0, 1)}},
        {"numeric": {"a": (0.0, 1.0)}},
        {"numeric": {"a": (0, 2)}},
        {"categorical": {"a": 4}},
        {"categorical": {"a": 5}},
        {"categorical": {"a": 4, "b": 4}},
        {"categorical": {"b": 4, "a": 4}},
    ]
    assert len({Metadata(**schema).version for schema in schemas}) == 6


@pytest.mark.parametrize(
    ("schema", "metadata", "message"),
    [
        ({"numeric": {"size": (0, 1)}}, {"size": "large"}, r"metadata 'size' is 'large' \(str\); give a number"),
        ({"numeric": {"size": (0, 1)}}, {"size": True}, r"metadata 'size' is True \(bool\)"),
        ({"numeric": {"size": (0, 1)}}, {"size": math.nan}, "give a finite number"),
        ({"categorical": {"tier": 3}}, {"tier": 3}, r"metadata 'tier' is 3 \(int\); it is declared as a category"),
        ({"categorical": {"tier": 3}}, {"tier": ["gold"]}, "give a string"),
    ],
)
def test_values_of_the_wrong_kind_are_refused(schema, metadata, message):
    with pytest.raises(InvalidRequestError, match=message):
        Metadata(**schema).transform_one(Request(text="x", metadata=metadata))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({}, "declare at least one name"),
        ({"numeric": {"a": (0, 1)}, "categorical": {"a": 3}}, "choose one"),
        ({"numeric": {"a": (1, 1)}}, "ascending order"),
        ({"numeric": {"a": (2, 1)}}, "ascending order"),
        ({"numeric": {"a": (0, math.inf)}}, "finite"),
        ({"numeric": {"a": (0, 1, 2)}}, "two finite numbers"),
        ({"numeric": {"a": "01"}}, "two finite numbers"),
        ({"numeric": {"a": 8}}, "two finite numbers"),
        ({"numeric": {"": (0, 1)}}, "a name in the schema"),
        ({"numeric": {"session": (0, 1)}}, "session cannot be numeric"),
        ({"numeric": {"tags": (0, 1)}}, "tags cannot be numeric"),
        ({"categorical": {"input_tokens": 3}}, "input_tokens cannot be categorical"),
        ({"categorical": {"a": 0}}, "number of its slots"),
        ({"categorical": {"a": 1025}}, "number of its slots"),
        ({"categorical": {"a": True}}, "number of its slots"),
        ({"categorical": {"a": "4"}}, "number of its slots"),
    ],
)
def test_unusable_schemas_are_refused(schema, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        Metadata(**schema)


def test_changing_the_schema_afterwards_changes_nothing():
    numeric = {"a": (0, 1)}
    schema = Metadata(numeric=numeric)
    numeric["b"] = (0, 1)
    assert schema.dimension == 2


def test_a_request_without_text_is_refused():
    with pytest.raises(InvalidRequestError):
        Metadata(categorical={"tier": 3}).transform_one(Request(features=np.ones(2), metadata={"tier": "gold"}))
