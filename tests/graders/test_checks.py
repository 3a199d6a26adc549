"""Unit tests, patterns and schemas; no schema reaches for the network."""

import json
import sys

import pytest

from banditroute.errors import InvalidInputError, MissingDependencyError
from banditroute.graders import matches_pattern, matches_schema, unit_tests

CITY = {
    "type": "object",
    "required": ["city", "people"],
    "properties": {"city": {"type": "string"}, "people": {"type": "integer", "minimum": 0}},
}


class TestUnitTests:
    def test_unit_tests_give_the_share_passed(self):
        assert [unit_tests(passed, 4).quality for passed in (0, 3, 4)] == [0.0, 0.75, 1.0]

    def test_unit_tests_without_a_run_have_no_quality(self):
        assert unit_tests(0, 0).reason == "no test ran"

    @pytest.mark.parametrize(("passed", "total"), [(5, 4), (-1, 4), (0, -1), (True, 4), (1, float("nan"))])
    def test_unit_tests_refuse_bad_counts(self, passed, total):
        with pytest.raises(InvalidInputError):
            unit_tests(passed, total)


class TestPattern:
    def test_the_whole_answer(self):
        assert matches_pattern(" 2026-11-22\n", r"\d{4}-\d\d-\d\d").quality == 1.0
        assert matches_pattern("On 2026-11-22", r"\d{4}-\d\d-\d\d").quality == 0.0

    def test_no_answer(self):
        assert matches_pattern(None, ".*").reason == "there is no answer"

    def test_bad_pattern_is_refused(self):
        with pytest.raises(InvalidInputError, match=r"'\(' cannot be compiled: missing \)"):
            matches_pattern("a", "(")


class TestSchema:
    def test_answer_that_keeps_the_schema_is_good(self):
        assert matches_schema('{"city": "Turku", "people": 200000}', CITY).quality == 1.0

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ('{"city": "Turku"}', "'people' is a required property"),
            ('{"city": "Turku", "people": -1}', "-1 is less than the minimum of 0"),
            ("[1]", "[1] is not of type 'object'"),
            ("Turku", "not JSON: Expecting value"),
            ('{"city": "Turku", "people": NaN}', "not JSON: NaN is not in JSON"),
            ('```json\n{"city": "Turku"}\n```', "not JSON: Expecting value"),
        ],
    )
    def test_matches_schema_says_why_an_answer_does_not_match(self, answer, reason):
        signal = matches_schema(answer, CITY)
        assert signal.quality == 0.0
        assert signal.reason.startswith(reason)

    def test_no_answer(self):
        assert matches_schema("", CITY).reason == "there is no answer"

    @pytest.mark.parametrize("schema", [{"type": 3}, {"pattern": "("}, 5, [CITY]])
    def test_bad_schema_is_refused(self, schema):
        with pytest.raises(InvalidInputError, match="schema"):
            matches_schema("1", schema)

    def test_references_of_a_schema_are_not_fetched(self):
        with pytest.raises(InvalidInputError, match=r"refers to 'http://localhost:9/city\.json', which is not in it"):
            matches_schema("1", {"$ref": "http://localhost:9/city.json"})
        inside = {"$defs": {"n": {"type": "integer"}}, "items": {"$ref": "#/$defs/n"}}
        assert matches_schema("[1, 2]", inside).quality == 1.0

    def test_schemas_and_answers_nested_too_deep_are_not_graded(self):
        endless = {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
        assert "nested too deep" in matches_schema("1", endless).reason
        assert "nested too deep" in matches_schema("[" * 100_000, CITY).reason

    def test_the_schema_says_which_draft(self):
        draft4 = {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 3, "exclusiveMinimum": True}
        assert matches_schema("3", draft4).quality == 0.0
        assert matches_schema(json.dumps(4), draft4).quality == 1.0

    def test_missing_package_is_named_with_the_pip_line(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "jsonschema", None)
        with pytest.raises(MissingDependencyError, match=r"banditroute\[signals\]"):
            matches_schema("1", {})
