"""Logs of others: what each field becomes, what is left out, and what is refused."""

import json
from typing import ClassVar

import numpy as np
import pytest

from banditroute.errors import InvalidInputError
from banditroute.logs import open_log, read_log
from banditroute.logs.readers.hashed import SLOTS, hashed

DSJSON = {
    "_label_cost": -0.5,
    "_label_probability": 0.8,
    "_label_Action": 2,
    "_labelIndex": 1,
    "Timestamp": "2026-01-01T00:00:00.5000000Z",
    "EventId": "e1",
    "a": [2, 3, 1],
    "c": {
        "User": {"age": 0.5, "tier": "gold", "new": True, "_hidden": 9},
        "scores": [0.25, 2],
        "_multi": [{"_tag": "small", "m": {"id": 7}}, {"_tag": "large"}, {"m": {"id": "third"}}],
    },
    "p": [0.8, 0.1, 0.1],
}
NEW_YEAR = 1767225600.0


class TestDSJSON:
    def test_dsjson_fields_are_read(self, write):
        path = write([DSJSON])
        assert open_log(path).format.name == "dsjson"
        log = read_log(path)
        assert log.arms == ("3", "large", "small")  # the third action has no tag: its number
        assert log.chosen.tolist() == [1]
        assert log.propensities.tolist() == [0.8]
        assert log.probabilities.tolist() == [[0.1, 0.8, 0.1]]
        assert log.eligible.all()
        assert {name: values.tolist() for name, values in log.outcomes.items()} == {"quality": [0.5]}
        assert log.decided_at.tolist() == [NEW_YEAR + 0.5]
        features = [("User.age", 0.5), ("User.tier=gold", 1.0), ("User.new", 1.0), ("scores.0", 0.25), ("scores.1", 2)]
        np.testing.assert_array_equal(log.contexts, [[*hashed(features), 1.0]])

    def test_actions_differ_from_row_to_row(self, write):
        other = {**DSJSON, "a": [1], "p": [1.0], "_label_Action": 1, "_label_probability": 1.0}
        other["c"] = {"_multi": [{"_tag": "huge"}]}
        log = read_log(write([DSJSON, other]))
        assert log.arms == ("3", "huge", "large", "small")
        assert log.eligible.tolist() == [[True, False, True, True], [False, True, False, False]]
        assert log.probabilities.tolist() == [[0.1, 0.0, 0.8, 0.1], [0.0, 1.0, 0.0, 0.0]]

    def test_first_action_was_taken_without_a_label(self, write):
        plain = {name: value for name, value in DSJSON.items() if not name.startswith("_label")}
        log = read_log(write([plain]))
        assert (log.arms[log.chosen[0]], log.propensities[0], dict(log.outcomes)) == ("large", 0.8, {})

    def test_dsjson_columns_can_be_chosen(self, write):
        path = write([{**DSJSON, "_label_cost": -3, "o": [{"v": 3}], "extra": {"usd": 0.01}}])
        with pytest.raises(InvalidInputError, match=r"row 1: outcomes is .*; quality lies in"):
            read_log(path)
        columns = {"reward": "_label_cost", "cost_usd": "extra.usd", "arm": "m.id"}
        log = read_log(path, columns=columns)
        assert log.arms == ("2", "7", "third")
        assert {name: values.tolist() for name, values in log.outcomes.items()} == {"cost_usd": [0.01], "reward": [3.0]}

    def test_two_actions_of_one_tag_get_their_numbers(self, write):
        twice = {**DSJSON, "c": {"_multi": [{"_tag": "x"}, {"_tag": "y"}, {"_tag": "x"}]}}
        log = read_log(write([twice]))
        assert (log.arms, log.arms[log.chosen[0]]) == (("x (1)", "x (3)", "y"), "y")

    def test_rewards_without_a_decision_and_repeated_lines_are_left_out(self, write):
        log = read_log(write([DSJSON, {"EventId": "e9", "RewardValue": 1.0}, DSJSON]))
        assert (len(log), log.skipped) == (1, {"reward without its decision": 1, "decision that is repeated": 1})

    def test_decision_that_was_not_carried_out_is_left_out(self, write):
        assert read_log(write([DSJSON, {**DSJSON, "_skipLearn": True}])).skipped == {
            "decision that was not carried out": 1
        }

    @pytest.mark.parametrize(
        "changes",
        [
            {"a": []}, {"a": [4, 3, 1]}, {"a": [True, 2, 3]}, {"a": None}, {"p": None}, {"p": []}, {"c": {}},
            {"c": {"_multi": [1, 2, 3]}}, {"c": []}, {"_label_Action": 0}, {"_label_Action": "2"}, {"p": [0.8, 0.2]},
            {"p": [0.5, 0.1, 0.1]}, {"a": [2, 2, 1]}, {"_label_probability": 0.1}, {"_label_cost": "1"},
            {"_label_cost": True}, {"Timestamp": "noon"}, {"pdrop": 0.5}, {"c": {**DSJSON["c"], "x": 10**400}},
        ],
        ids=str,
    )  # fmt: skip
    def test_damaged_dsjson_row_is_refused_or_skipped(self, write, changes):
        path = write([DSJSON, {**DSJSON, **changes}])
        with pytest.raises(InvalidInputError, match="row 2: "):
            read_log(path)
        log = read_log(path, skip_bad=True)
        assert (len(log), sum(log.skipped.values())) == (1, 1)


class TestLiteLLM:
    ROW: ClassVar = {
        "request_id": "r1", "call_type": "acompletion", "spend": 0.25, "total_tokens": 30, "prompt_tokens": 10,
        "completion_tokens": 20, "startTime": "2026-01-01T00:00:00", "endTime": "2026-01-01 00:00:02.500+00:00",
        "model": "gpt-small", "model_group": "chat", "metadata": '{"judge": {"score": 0.75}}', "cache_hit": "False",
        "request_tags": '["eu"]', "messages": [{"role": "user", "content": "Why?"}], "session_id": "s1",
        "status": "success",
    }  # fmt: skip

    def test_litellm_fields_are_read(self, write):
        path = write([self.ROW])
        assert open_log(path).format.name == "litellm"
        log = read_log(path)
        assert (log.arms, log.propensities, log.probabilities, log.contexts) == (("gpt-small",), None, None, None)
        assert (log.prompts, log.sessions, log.decided_at.tolist()) == (("Why?",), ("s1",), [NEW_YEAR])
        expected = {"cost_usd": [0.25], "latency_seconds": [2.5], "output_tokens": [20.0]}
        assert {name: values.tolist() for name, values in log.outcomes.items()} == expected
        (table,) = open_log(path).tables()
        assert table.select(["id", "tags", "input_tokens"]).to_pylist() == [
            {"id": "r1", "tags": ["eu"], "input_tokens": 10}
        ]

    def test_litellm_columns_can_be_chosen(self, write):
        log = read_log(write([self.ROW]), columns={"quality": "metadata.judge.score", "arm": "model_group"})
        assert (log.arms, log.outcomes["quality"].tolist()) == (("chat",), [0.75])

    def test_call_without_a_price_has_an_unknown_cost(self, write):
        free = {**self.ROW, "spend": 0.0}
        assert np.isnan(read_log(write([self.ROW, free])).outcomes["cost_usd"]).tolist() == [False, True]
        assert read_log(write([{**free, "total_tokens": 0}])).outcomes["cost_usd"].tolist() == [0.0]

    def test_a_failure_is_one_and_no_more(self, write):
        log = read_log(write([{**self.ROW, "status": "failure", "spend": 0.0}]))
        assert {name: values.tolist() for name, values in log.outcomes.items()} == {"availability": [0.0]}

    def test_a_failure_without_a_model_is_left_out(self, write):
        log = read_log(write([self.ROW, {**self.ROW, "status": "failure", "model": ""}]))
        assert (len(log), log.skipped) == (1, {"failure without a model": 1})

    def test_cached_and_other_calls_are_left_out(self, write):
        others = [{**self.ROW, "cache_hit": "True"}, {**self.ROW, "call_type": "aembedding"}]
        log = read_log(write([self.ROW, *others]))
        assert (len(log), log.skipped) == (1, {"answered from a cache": 1, "call of another type": 1})

    @pytest.mark.parametrize("messages", [{}, None, "", []])
    def test_row_without_messages_has_no_prompt(self, write, messages):
        assert read_log(write([{**self.ROW, "messages": messages}])).prompts is None

    @pytest.mark.parametrize(
        "changes",
        [
            {"model": None}, {"model": ""}, {"spend": -1}, {"spend": "1"}, {"endTime": "2025-01-01"},
            {"startTime": "soon"}, {"startTime": 1e60}, {"endTime": True}, {"completion_tokens": -1},
            {"prompt_tokens": 1.5}, {"messages": [1]}, {"request_tags": {"a": 1}},
        ],
        ids=str,
    )  # fmt: skip
    def test_damaged_litellm_row_is_refused_or_skipped(self, write, changes):
        path = write([self.ROW, {**self.ROW, **changes}])
        with pytest.raises(InvalidInputError, match="row 2: "):
            read_log(path)
        assert sum(read_log(path, skip_bad=True).skipped.values()) == 1


def otlp(*spans):
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": list(spans)}]}]}


def span(status=1, events=(), **attributes):
    kinds = {str: "stringValue", float: "doubleValue", int: "intValue", bool: "boolValue"}

    def listed(values):
        return [
            {"key": key.replace("__", "."), "value": {kinds[type(value)]: str(value) if type(value) is int else value}}
            for key, value in values.items()
        ]

    attributes = {"gen_ai__operation__name": "chat", "gen_ai__request__model": "small", **attributes}
    return {
        "startTimeUnixNano": "1767225600000000000",
        "endTimeUnixNano": 1767225601500000000,
        "attributes": listed(attributes),
        "status": {"code": status},
        "events": [{"name": "gen_ai.evaluation.result", "attributes": listed(event)} for event in events],
    }


class TestOpenTelemetry:
    def test_opentelemetry_fields_are_read(self, write):
        graded = {"gen_ai__evaluation__name": "quality", "gen_ai__evaluation__score__value": 0.5}
        path = write(
            [
                otlp(
                    span(
                        events=[graded],
                        gen_ai__usage__output_tokens=20,
                        gen_ai__usage__cost__amount=0.25,
                        gen_ai__conversation__id="c1",
                        gen_ai__input__messages='[{"role": "user", "parts": [{"type": "text", "content": "Why?"}]}]',
                        hw__energy=3.5,
                        banditroute__decision__arm="adapter",
                        banditroute__decision__propensity=0.5,
                    )
                )
            ]
        )
        assert open_log(path).format.name == "otel"
        log = read_log(path)
        assert (log.arms, log.propensities.tolist(), log.probabilities) == (("adapter",), [0.5], None)
        assert (log.prompts, log.sessions, log.decided_at.tolist()) == (("Why?",), ("c1",), [NEW_YEAR])
        assert {name: values.tolist() for name, values in log.outcomes.items()} == {
            "quality": [0.5], "cost_usd": [0.25], "energy_joules": [3.5], "latency_seconds": [1.5],
            "output_tokens": [20.0],
        }  # fmt: skip

    def test_many_spans_a_line_and_others_between(self, write):
        tool, http = span(gen_ai__operation__name="execute_tool"), span()
        http["attributes"] = []
        log = read_log(write([otlp(span(), tool, http, span(gen_ai__request__model="large")), otlp()]))
        assert (log.arms, len(log)) == (("large", "small"), 2)
        assert log.propensities is None
        assert log.skipped == {"span that asks no model": 2}

    def test_spans_as_the_sdk_writes_them(self, write):
        plain = {
            "name": "chat", "context": {"trace_id": "0x1"}, "start_time": "2026-01-01T00:00:00.000000Z",
            "end_time": "2026-01-01T00:00:02.000000Z", "status": {"status_code": "UNSET"}, "events": [],
            "attributes": {"gen_ai.request.model": "small", "gen_ai.usage.output_tokens": 7},
        }  # fmt: skip
        log = read_log(write([plain, {**plain, "status": {"status_code": "ERROR"}}]))
        assert log.outcomes["latency_seconds"].tolist()[0] == 2.0
        assert log.outcomes["output_tokens"].tolist()[0] == 7.0
        np.testing.assert_array_equal(log.outcomes["availability"], [np.nan, 0.0])

    def test_a_decision_of_a_router_has_the_outcomes_that_were_reported_and_no_latency(self, write):
        names = {"values": [{"stringValue": "large"}, {"stringValue": "small"}]}
        chances = {"values": [{"doubleValue": 0.25}, {"doubleValue": 0.75}]}
        routed = span(gen_ai__operation__name="route", banditroute__decision__id="d1")
        routed["attributes"] += [
            {"key": "banditroute.decision.arms", "value": {"arrayValue": names}},
            {"key": "banditroute.decision.probabilities", "value": {"arrayValue": chances}},
            {"key": "banditroute.decision.propensity", "value": {"doubleValue": 0.75}},
            {"key": "banditroute.decision.tags", "value": {"arrayValue": {}}},
        ]
        record = {
            "severity_number": 9,
            "span_id": "0x00ff",  # of no span here: the decision counts
            "attributes": {
                "gen_ai.evaluation.name": "politeness",
                "gen_ai.evaluation.score.value": 0.5,
                "banditroute.decision.id": "d1",
            },
        }
        log = read_log(write([otlp(routed), record]))
        assert (log.arms, log.probabilities.tolist(), log.propensities.tolist()) == (
            ("large", "small"), [[0.25, 0.75]], [0.75],
        )  # fmt: skip
        assert {name: values.tolist() for name, values in log.outcomes.items()} == {"politeness": [0.5]}

    def test_an_evaluation_is_taken_by_its_name(self, write):
        graded = {"gen_ai__evaluation__name": "Relevance", "gen_ai__evaluation__score__value": 4.0}
        path = write([otlp(span(events=[graded]))])
        assert "quality" not in read_log(path).outcomes
        assert read_log(path, columns={"relevance": "Relevance"}).outcomes["relevance"].tolist() == [4.0]

    @pytest.mark.parametrize("form", ["otlp", "sdk"])
    def test_evaluations_that_are_log_records_belong_to_their_spans(self, write, form):
        def evaluation(span_id, score, name="quality", **more):
            attributes = {"gen_ai.evaluation.name": name, "gen_ai.evaluation.score.value": score, **more}
            if form == "sdk":
                return {"severity_number": 9, "span_id": f"0x{span_id}", "attributes": attributes}
            kinds = {str: "stringValue", float: "doubleValue"}
            listed = [{"key": key, "value": {kinds[type(value)]: value}} for key, value in attributes.items()]
            record = {"spanId": span_id.upper(), "attributes": listed}
            return {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}

        answered = span(gen_ai__response__id="r1")
        path = write(
            [
                evaluation("00ab", 0.25),
                otlp({**span(), "spanId": "00ab"}, {**answered, "spanId": "00ac"}, {**span(), "spanId": "00ad"}),
                evaluation("00ab", 0.5),
                evaluation("", 1.0, **{"gen_ai.response.id": "r1"}),
                evaluation("ffff", 0.0),
            ]
        )
        log = read_log(path)
        np.testing.assert_array_equal(log.outcomes["quality"], [0.5, 1.0, np.nan])
        assert log.skipped == {"evaluation that a later one replaces": 1, "evaluation without its span": 1}

    def test_a_null_attribute_is_not_there_and_a_damaged_span_costs_only_itself(self, write):
        null, broken = span(), span()
        null["attributes"].append({"key": "http.route", "value": {}})
        broken["attributes"].append({"key": "http.route"})
        path = write([otlp(span(), null, broken, span())])
        with pytest.raises(InvalidInputError, match="row 1: span cannot be used"):
            read_log(path)
        log = read_log(path, skip_bad=True)
        assert (len(log), log.skipped) == (3, {"span": 1})

    def test_a_failure_without_a_model_is_left_out(self, write):
        failed = span(status=2)
        failed["attributes"] = failed["attributes"][:1]  # the operation alone
        assert read_log(write([otlp(span(), failed)])).skipped == {"failure without a model": 1}

    def test_spans_as_the_sdk_prints_them(self, write):
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "small"}
        times = {"start_time": "2026-01-01T00:00:00.000000Z", "end_time": "2026-01-01T00:00:01.000000Z"}
        printed = json.dumps({"name": "chat", "context": {}, **times, "attributes": attributes}, indent=4)
        assert len(read_log(write(f"{printed}\n{printed}\n"))) == 2

    def test_amount_in_another_currency_is_not_a_cost_in_dollars(self, write):
        euro = span(gen_ai__usage__cost__amount=0.25, gen_ai__usage__cost__currency="EUR")
        assert "cost_usd" not in read_log(write([otlp(euro)])).outcomes

    @pytest.mark.parametrize(
        "bad",
        [
            {"resourceSpans": 1}, {"resourceSpans": [1]}, {"resourceSpans": [{"scopeSpans": [{"spans": [1]}]}]},
            otlp({**span(), "startTimeUnixNano": "soon"}), otlp({**span(), "endTimeUnixNano": None}),
            otlp({**span(), "attributes": [{"key": "gen_ai.request.model"}]}), otlp({**span(), "events": 7}),
            otlp({**span(), "status": "bad"}), otlp(span(gen_ai__usage__output_tokens=-1)),
            otlp(span(gen_ai__usage__output_tokens="many")), otlp(span(banditroute__decision__propensity=0.0)),
            otlp({**span(), "endTimeUnixNano": "1"}), {"name": "a span of nothing"},
        ],
        ids=str,
    )  # fmt: skip
    def test_damaged_span_is_refused_or_skipped(self, write, bad):
        path = write([otlp(span()), bad])
        if bad == {"name": "a span of nothing"}:
            assert read_log(path).skipped == {"span that asks no model": 1}
            return
        with pytest.raises(InvalidInputError, match="row 2: "):
            read_log(path)
        assert sum(read_log(path, skip_bad=True).skipped.values()) == 1


class TestOpenBandit:
    HEAD = ",timestamp,item_id,position,click,propensity_score,user_feature_0,user-item_affinity_0,user-item_affinity_1"
    ROW = "0,2019-11-24 00:00:05.846285+00:00,79,3,1,0.0125,81ce,0.0,2.5"

    def test_open_bandit_fields_are_read(self, write):
        path = write(f"{self.HEAD}\n{self.ROW}\n1,2019-11-24 00:00:06+00:00,14,1,0,0.5,,1.0,0.0\n", "all.csv")
        assert open_log(path).format.name == "open-bandit"
        log = read_log(path)
        assert (log.arms, log.chosen.tolist(), log.tasks) == (("14", "79"), [1, 0], ("3", "1"))
        assert (log.propensities.tolist(), log.probabilities) == ([0.0125, 0.5], None)
        assert log.eligible.all()
        assert log.outcomes["quality"].tolist() == [1.0, 0.0]
        np.testing.assert_allclose(log.decided_at, [1574553605.846285, 1574553606.0])
        first = hashed([("position=3", 1.0), ("user_feature_0=81ce", 1.0)])
        second = hashed([("position=1", 1.0)])
        np.testing.assert_array_equal(log.contexts, [[*first, 0.0, 2.5, 1.0], [*second, 1.0, 0.0, 1.0]])

    def test_open_bandit_columns_can_be_chosen(self, write):
        path = write(f"{self.HEAD},price,user\n{self.ROW},4.5,Ann\n", "all.csv")
        log = read_log(path, columns={"session": "user", "revenue": "price", "clicks": "click"})
        assert log.sessions == ("Ann",)
        assert {name: values.tolist() for name, values in log.outcomes.items()} == {"clicks": [1.0], "revenue": [4.5]}

    def test_an_outcome_that_is_not_there(self, write):
        path = write(f"{self.HEAD}\n{self.ROW}\n{self.ROW.replace(',1,0.0125', ',,0.0125')}\n", "all.csv")
        np.testing.assert_array_equal(read_log(path).outcomes["quality"], [1.0, np.nan])

    @pytest.mark.parametrize(
        ("field", "old", "new"),
        [
            ("timestamp", "2019-11-24 00", "noon"), ("item_id", ",79,", ",,"), ("click", ",1,0.0125", ",yes,0.0125"),
            ("outcomes", ",1,0.0125", ",2,0.0125"), ("propensity", "0.0125", "0"),
            ("propensity_score", "0.0125", "1/80"), ("propensity", "0.0125", "1.5"),
            ("user-item_affinity_1", "2.5", "2.5.5"), ("x", "2.5", "1e300"),
            ("columns", "81ce,", ""), ("columns", "81ce,", "81ce,,"), ("item_id", ",79,", ",7\udcff,"),
        ],
    )  # fmt: skip
    def test_damaged_open_bandit_row_is_refused_or_skipped(self, write, field, old, new):
        bad = self.ROW.replace(old, new)
        path = write("\n".join([self.HEAD, self.ROW, bad, self.ROW]).encode("utf-8", "surrogateescape"), "all.csv")
        with pytest.raises(InvalidInputError, match=rf"all\.csv: row 3: {field} "):
            read_log(path)
        log = read_log(path, skip_bad=True)
        assert (len(log), log.skipped) == (2, {field: 1})


def test_hashing_adds_up():
    """Two features in one slot add up with their signs; every slot can be reached."""
    names = [f"f{i}" for i in range(2000)]
    vectors = np.array([hashed([(name, 1.0)]) for name in names])
    assert (np.abs(vectors).sum(axis=1) == 1.0).all()
    assert (np.abs(vectors).sum(axis=0) > 0.0).all()
    assert abs(vectors.sum()) < 200.0
    np.testing.assert_array_equal(hashed((name, 1.0) for name in names), vectors.sum(axis=0))
    assert vectors.shape == (2000, SLOTS)
