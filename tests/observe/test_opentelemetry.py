"""Decisions and feedback that are exported by OpenTelemetry are read back to the same log."""

import itertools
import json
import math
from importlib import import_module

import numpy as np
import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from banditroute.errors import MissingDependencyError
from banditroute.logs import read_log
from banditroute.observe import OpenTelemetryObserver, opentelemetry_observer
from banditroute.store import SQLStore
from tests.support import FakeClock, X, make_router, serve


def line(record):
    return record.to_json(indent=None) + "\n"


class Export:
    """Writes what an observer sends to a file, as the SDK writes it."""

    def __init__(self, spans, logs):
        self.spans, self.logs = open(spans, "a"), open(logs, "a")  # noqa: SIM115
        tracers, loggers = TracerProvider(), LoggerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=self.spans, formatter=line)))
        loggers.add_log_record_processor(
            SimpleLogRecordProcessor(ConsoleLogRecordExporter(out=self.logs, formatter=line))
        )
        self.observer = OpenTelemetryObserver(tracer_provider=tracers, logger_provider=loggers)

    def close(self):
        self.spans.close()
        self.logs.close()


def read_lines(path):
    return [json.loads(each) for each in path.read_text().splitlines()]


def assert_same(log, own):
    """Compare all that the export holds with the router's own log."""
    assert log.arms == own.arms
    assert log.sessions == own.sessions
    np.testing.assert_array_equal(log.chosen, own.chosen)
    np.testing.assert_array_equal(log.propensities, own.propensities)
    np.testing.assert_array_equal(log.probabilities, own.probabilities)
    np.testing.assert_array_equal(log.eligible, own.eligible)
    np.testing.assert_allclose(log.decided_at, own.decided_at, rtol=0, atol=1e-6)
    assert log.outcomes.keys() == own.outcomes.keys()
    for name, values in own.outcomes.items():
        np.testing.assert_array_equal(log.outcomes[name], values)


@pytest.mark.parametrize("files", ["one", "two"])
def test_exported_spans_are_read_back_as_the_same_log(tmp_path, files):
    (tmp_path / "otel").mkdir()
    spans = tmp_path / "otel" / "spans.jsonl"
    export = Export(spans, spans if files == "one" else tmp_path / "otel" / "logs.jsonl")
    url, ticks = f"sqlite:///{tmp_path / 'r.db'}", itertools.count(1.7e9 + 1 / 3, 0.123456789)  # in order of their ids
    settings = {"store": SQLStore(url), "observers": [export.observer], "clock": lambda: next(ticks)}
    with make_router("a", "b", "c", **settings) as router:
        for i in range(20):
            serve(router, quality=0.05 * i, latency_seconds=0.3, cost_usd=0.001 * i)
        late = serve(router, route={"session": "Ann", "tags": ["t"], "exclude": ["c"]})
        serve(router)  # without feedback
        serve(router, failed=True)
        router.feedback(late.id, quality=0.25)
        router.feedback(late.id, cost_usd=0.5)
        router.correct(late.id, quality=0.75)
    export.close()
    log = read_log(spans if files == "one" else tmp_path / "otel", format="otel")
    own = read_log(url)
    assert len(own) == 23
    assert own.outcomes["quality"][20] == 0.75
    assert_same(log, own)
    assert log.skipped == {"evaluation that a later one replaces": 1}


def test_feedback_names_span_and_decision(tmp_path):
    export = Export(tmp_path / "spans.jsonl", tmp_path / "logs.jsonl")
    with make_router(observers=[export.observer]) as router:
        decision = serve(router, "b", quality=0.5, route={"session": "Ann"})
    export.close()
    (span,) = read_lines(tmp_path / "spans.jsonl")
    begun, evaluation = read_lines(tmp_path / "logs.jsonl")
    assert (span["name"], span["start_time"]) == ("route b", span["end_time"])
    assert span["attributes"]["gen_ai.operation.name"] == "route"
    assert span["attributes"]["gen_ai.request.model"] == "b"
    assert span["attributes"]["gen_ai.conversation.id"] == "Ann"
    assert span["attributes"]["banditroute.decision.id"] == decision.id
    assert "gen_ai.usage.input_tokens" not in span["attributes"]
    assert begun["event_name"] == "banditroute.epoch_begun"
    assert evaluation["event_name"] == "gen_ai.evaluation.result"
    assert evaluation["attributes"] == {
        "gen_ai.evaluation.name": "quality",
        "gen_ai.evaluation.score.value": 0.5,
        "banditroute.decision.id": decision.id,
    }
    assert [evaluation[key] for key in ("trace_id", "span_id")] == [
        span["context"][key] for key in ("trace_id", "span_id")
    ]


def test_feedback_after_a_restart_is_read_with_its_decision(tmp_path):
    url, path = f"sqlite:///{tmp_path / 'r.db'}", tmp_path / "otel.jsonl"
    for _ in range(2):
        export = Export(path, path)
        with make_router(store=SQLStore(url), observers=[export.observer]) as router:
            if path.stat().st_size == 0:
                id = serve(router).id
            else:
                router.feedback(id, quality=0.5)
        export.close()
    assert_same(read_log(path, format="otel"), read_log(url))


def test_spans_of_old_decisions_are_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(opentelemetry_observer, "_SPANS_KEPT", 3)
    path = tmp_path / "otel.jsonl"
    export = Export(path, path)
    with make_router(observers=[export.observer]) as router:
        ids = [serve(router).id for _ in range(5)]
        for id in ids:
            router.feedback(id, quality=1.0)
    export.close()
    assert len(export.observer._contexts) == 3
    without_span = [record["span_id"] == f"0x{0:016x}" for record in read_lines(path) if "severity_number" in record]
    assert without_span == [True, True, True, False, False, False]  # the beginning, then five evaluations
    assert read_log(path, format="otel").outcomes["quality"].tolist() == [1.0] * 5


def test_trouble_is_an_event_with_level_warn(tmp_path):
    export, clock = Export(tmp_path / "spans.jsonl", tmp_path / "logs.jsonl"), FakeClock()
    with make_router(observers=[export.observer], clock=clock) as router:
        for _ in range(5):
            clock.advance(1.0)
            serve(router, "a", failed=True)
    export.close()
    (opened,) = (each for each in read_lines(tmp_path / "logs.jsonl") if "circuit" in each["event_name"])
    assert (opened["event_name"], opened["severity_text"]) == ("banditroute.circuit_changed", "WARN")
    assert opened["attributes"] == {"banditroute.arm": "a", "banditroute.open": True}


def test_prompts_and_features_are_not_exported(tmp_path):
    path = tmp_path / "otel.jsonl"
    export = Export(path, path)
    with make_router(features=None, observers=[export.observer]) as router:
        router.route("A secret prompt")
    with make_router(observers=[export.observer]) as router:
        router.route(np.array([math.pi, 1.0]))
    export.close()
    assert "secret" not in path.read_text()
    assert str(math.pi) not in path.read_text()


def test_comparisons_are_not_evaluations(tmp_path):
    path = tmp_path / "otel.jsonl"
    export = Export(path, path)
    with make_router(observers=[export.observer]) as router:
        first, second = router.route(X, arms=["a"]), router.route(X, arms=["b"])
        router.compare([first.id, second.id])
    export.close()
    assert "preferred" not in path.read_text()


def test_a_missing_package_is_named_with_its_pip_line(monkeypatch):
    def missing(module):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(import_module("banditroute.core.optional_imports").importlib, "import_module", missing)
    with pytest.raises(MissingDependencyError, match=r"pip install 'banditroute\[otel\]'"):
        OpenTelemetryObserver()
