"""The metrics of Prometheus: what they count, from one process and from the database, and what is no label."""

import json
import re
from importlib import import_module, resources

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from banditroute.adapters import AdapterCache, AdapterSpec, Capacity, SimulatedBackend
from banditroute.beliefs import PageHinkley
from banditroute.budgets import Budget
from banditroute.core.arm import Arm
from banditroute.core.events import DriftSuspected
from banditroute.errors import InvalidConfigurationError, MissingDependencyError, StoreError
from banditroute.features import Complexity
from banditroute.guard import Guard
from banditroute.learners import Learner
from banditroute.observe import PrometheusDatabaseCollector, PrometheusObserver
from banditroute.observe import prometheus_database as database_module
from banditroute.policies import Uniform
from banditroute.store import SQLStore
from tests.support import X, make_router, serve

LABELS = {"router", "arm", "objective", "budget", "mode", "le"}


def samples(registry):
    """Read the page of a scrape: (name, labels) -> value."""
    page = generate_latest(registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def value(registry, name, **labels):
    return registry.get_sample_value(name, {"router": "default", **labels})


def busy_router(**settings):
    """Return a router with a guard, a budget, a breaker and a drift test."""
    return make_router(
        learner=Learner(policy=Uniform(), drift=PageHinkley(threshold=3.0)),
        budgets=[Budget(usd=0.001)],
        guard=Guard(baseline="a"),
        **settings,
    )


def use(router):
    """Serve requests so that everything that is shown happens once at least."""
    for i in range(120):
        quality = 0.9 + 0.01 * (i % 2) if i < 60 else 0.1
        serve(router, "a", quality=quality, cost_usd=0.01, latency_seconds=0.3, energy_joules=2.0)
    for _ in range(5):
        serve(router, "b", failed=True)
    router.set_guard_mode("bypass")
    router.route([0.1, 0.2], session="Ann", tags=["tag-1"])


def both(url):
    """Return the registry of an observer and that of the database, after a router was used and closed."""
    one, all_ = CollectorRegistry(), CollectorRegistry()
    observer = PrometheusObserver(registry=one)
    router = busy_router(observers=[observer], store=SQLStore(url))
    observer.watch(router)
    use(router)
    observer.on_event(DriftSuspected(at=0.0, arm="a", objective="quality", times=1, detector="ADWIN"))
    router.close()
    PrometheusDatabaseCollector(url=url, registry=all_)
    return one, all_, router


SAME = [
    ("banditroute_decisions_total", {"arm": "a"}),
    ("banditroute_decisions_total", {"arm": "b"}),
    ("banditroute_fallbacks_total", {"arm": "a"}),
    ("banditroute_cost_usd_total", {"arm": "a"}),
    ("banditroute_energy_joules_total", {"arm": "a"}),
    ("banditroute_failures_total", {"arm": "a"}),
    ("banditroute_failures_total", {"arm": "b"}),
    ("banditroute_outcome_sum", {"arm": "a", "objective": "quality"}),
    ("banditroute_outcome_count", {"arm": "a", "objective": "quality"}),
    ("banditroute_latency_seconds_bucket", {"arm": "a", "le": "0.25"}),
    ("banditroute_latency_seconds_bucket", {"arm": "a", "le": "0.5"}),
    ("banditroute_latency_seconds_count", {"arm": "a"}),
    ("banditroute_circuit_open", {"arm": "a"}),
    ("banditroute_circuit_open", {"arm": "b"}),
    ("banditroute_drift_resets_total", {"arm": "a", "objective": "quality"}),
    ("banditroute_guard_learner_share", {"mode": "bypass"}),
    ("banditroute_learned_decisions", {}),
]


def test_observer_and_database_show_the_same_figures(url):
    one, all_, _ = both(url)
    figures = [(name, labels, value(one, name, **labels)) for name, labels in SAME]
    assert all(found is not None for _, _, found in figures), figures
    for name, labels, found in figures:
        assert value(all_, name, **labels) == pytest.approx(found), name
    assert value(one, "banditroute_latency_seconds_bucket", arm="a", le="0.25") == 0.0
    assert value(one, "banditroute_latency_seconds_bucket", arm="a", le="0.5") == 120.0
    assert value(one, "banditroute_failures_total", arm="b") == 5.0
    assert value(one, "banditroute_circuit_open", arm="b") == 1.0
    assert value(one, "banditroute_cost_usd_total", arm="a") == pytest.approx(1.2)
    assert value(one, "banditroute_drift_resets_total", arm="a", objective="quality") >= 1.0
    for registry in one, all_:  # the database adds what the open requests of other processes are expected to spend
        assert 1.2 <= value(registry, "banditroute_budget_spent", budget="cost_usd per request") + 1e-9 < 1.4
    assert value(all_, "banditroute_pending_outcomes") == 0.0
    assert value(all_, "banditroute_folds_total") >= 1.0
    assert all_.get_sample_value("banditroute_database_up") == 1.0


def test_ids_sessions_and_tags_are_no_labels(tmp_path):
    one, all_, _ = both(f"sqlite:///{tmp_path / 'r.db'}")
    for registry in (one, all_):
        found = samples(registry)
        assert {name for _, labels in found for name, _ in labels} <= LABELS
        values = {text for _, labels in found for name, text in labels if name != "le"}
        assert values == {"default", "a", "b", "quality", "cost_usd", "latency_seconds", "energy_joules"} | {
            "availability",
            "cost_usd per request",
            "bypass",
        }


def test_several_processes_and_later_scrapes_are_summed(url, monkeypatch):
    monkeypatch.setattr(database_module, "_SETTLED_SECONDS", 0.0)  # so that all is settled by the second scrape
    monkeypatch.setattr(database_module, "_SETTLED_OUTCOMES", 3)
    registry = CollectorRegistry()
    with make_router(store=SQLStore(url)) as router:
        serve(router, "a", quality=0.5)
    PrometheusDatabaseCollector(url=url, registry=registry)
    assert value(registry, "banditroute_decisions_total", arm="a") == 1.0
    with make_router(store=SQLStore(url)) as first, make_router(store=SQLStore(url)) as second:
        for router in (first, second):
            for _ in range(10):
                serve(router, "a", quality=0.5, latency_seconds=0.01)
        for router in (first, second):
            router.flush()
        for _ in range(3):
            assert value(registry, "banditroute_decisions_total", arm="a") == 21.0
            assert value(registry, "banditroute_outcome_sum", arm="a", objective="quality") == pytest.approx(10.5)
            assert value(registry, "banditroute_latency_seconds_bucket", arm="a", le="0.05") == 20.0


def test_a_database_that_goes_away_does_not_break_the_scrape(tmp_path, caplog):
    path, registry = tmp_path / "r.db", CollectorRegistry()
    with make_router(store=SQLStore(f"sqlite:///{path}")) as router:
        serve(router, "a", quality=0.5)
    collector = PrometheusDatabaseCollector(url=f"sqlite:///{path}", registry=registry)
    collector._database.engine.dispose()
    for file in tmp_path.iterdir():
        file.unlink()
    path.mkdir()
    for _ in range(2):
        assert samples(registry) == {("banditroute_database_up", ()): 0.0}
    assert len([record for record in caplog.records if "Prometheus" in record.message]) == 1


def test_damaged_state_hides_that_state_alone(tmp_path, caplog):
    import sqlite3

    path, registry = tmp_path / "r.db", CollectorRegistry()
    with busy_router(store=SQLStore(f"sqlite:///{path}")) as router:
        use(router)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE banditroute_state SET blob = x'00' WHERE name = 'breaker'")
    connection.close()
    PrometheusDatabaseCollector(url=f"sqlite:///{path}", registry=registry)
    assert value(registry, "banditroute_decisions_total", arm="b") == 5.0
    assert value(registry, "banditroute_circuit_open", arm="b") == 0.0
    assert "'breaker' is damaged" in caplog.text


def test_a_collector_changes_no_file(tmp_path):
    path = tmp_path / "missing.db"
    with pytest.raises(StoreError):
        PrometheusDatabaseCollector(url=f"sqlite:///{path}", registry=CollectorRegistry())
    assert not path.exists()


def test_fallbacks_are_counted():
    class Failing(Complexity):
        def transform_one(self, request):
            raise RuntimeError("out of order")

    registry = CollectorRegistry()
    with make_router(features=Failing(), observers=[PrometheusObserver(registry=registry)]) as router:
        router.route("Why?")
    assert value(registry, "banditroute_fallbacks_total", arm="a") == 1.0


def test_seconds_of_waiting_for_an_adapter_are_counted(tmp_path):
    one, all_, url = CollectorRegistry(), CollectorRegistry(), f"sqlite:///{tmp_path / 'r.db'}"
    cache = AdapterCache(backend=SimulatedBackend(capacity=Capacity(slots=1), jitter=0.0))
    arm = Arm(name="law", adapter=AdapterSpec(name="law-1", path="law", size_bytes=10**8))
    observer = PrometheusObserver(registry=one)
    settings = {"adapters": cache, "observers": [observer], "store": SQLStore(url)}
    with make_router(arm, **settings) as router, router.lease(router.route(X)):
        pass
    PrometheusDatabaseCollector(url=url, registry=all_)
    for registry in one, all_:
        assert value(registry, "banditroute_adapter_load_seconds_sum", arm="law") == pytest.approx(0.1)
        assert value(registry, "banditroute_adapter_load_seconds_count", arm="law") == 1.0


def test_an_observer_watches_one_router():
    observer = PrometheusObserver(registry=CollectorRegistry())
    with make_router(observers=[observer]) as router, make_router() as other:
        observer.watch(router)
        observer.watch(router)
        with pytest.raises(InvalidConfigurationError, match="one observer for each router"):
            observer.watch(other)


def test_a_watched_router_can_be_collected():
    import gc
    import weakref

    registry = CollectorRegistry()
    observer = PrometheusObserver(registry=registry)
    router = make_router(observers=[observer])
    observer.watch(router)
    serve(router, "a")
    router.close()
    gone = weakref.ref(router)
    del router
    gc.collect()
    assert gone() is None
    assert value(registry, "banditroute_decisions_total", arm="a") == 1.0


@pytest.mark.parametrize("make", [PrometheusObserver, lambda: PrometheusDatabaseCollector(url="sqlite:///x.db")])
def test_a_missing_package_is_named_with_its_pip_line(make, monkeypatch):
    def missing(module):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(import_module("banditroute.core.optional_imports").importlib, "import_module", missing)
    with pytest.raises(MissingDependencyError, match=r"pip install 'banditroute\[prometheus\]'"):
        make()


@pytest.fixture(scope="module")
def dashboard():
    text = resources.files("banditroute.observe").joinpath("data/grafana.json").read_text(encoding="utf-8")
    return json.loads(text)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Name of every sample -> its labels, as both sources show them."""
    one, all_, _ = both(f"sqlite:///{tmp_path_factory.mktemp('grafana') / 'r.db'}")
    labels = {}
    for registry in (one, all_):
        for name, pairs in samples(registry):
            labels.setdefault(name, set()).update(name for name, _ in pairs)
    return labels


class TestDashboard:
    """The dashboard of Grafana that is shipped."""

    def queries(self, dashboard):
        found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
        return found + [
            variable["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"
        ]

    def test_every_query_names_metrics_and_labels_that_exist(self, dashboard, known):
        queries = self.queries(dashboard)
        assert len(queries) > 15
        for query in queries:
            names = re.findall(r"\bbanditroute_\w+", query)
            assert names, query
            assert set(names) <= set(known), query
            for group in re.findall(r"(?:by|without|on|ignoring) ?\(([^)]*)\)", query):
                used = {label.strip() for label in group.split(",")}
                assert used <= set().union(*(known[name] for name in names)), query
            for name, selector in re.findall(r"(\bbanditroute_\w+)\{([^}]*)\}", query):
                assert set(re.findall(r"(\w+)=~?", selector)) <= known[name], query

    def test_every_metric_is_on_a_panel_or_left_out_knowingly(self, dashboard, known):
        shown = set(re.findall(r"\bbanditroute_\w+", " ".join(self.queries(dashboard))))
        left_out = {name for name in known if not name.endswith("_bucket")} - shown
        assert left_out == LEFT_OUT

    def test_legends_name_labels_of_their_query(self, dashboard):
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                    assert re.search(rf"by \([^)]*\b{label}\b", target["expr"]), target

    def test_panels_have_ids_titles_and_places_of_their_own(self, dashboard):
        panels = dashboard["panels"]
        assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
        cells = [
            (x, y)
            for panel in panels
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]
        assert len(cells) == len(set(cells))
        assert max(x for x, _ in cells) < 24


LEFT_OUT = {
    "banditroute_effective_arms",  # for an alert; the shares of arms are shown
    "banditroute_adapter_load_seconds_count",
    "banditroute_budget_granted",  # its pace is shown
    "banditroute_budget_reserved",
    "banditroute_latency_seconds_count",
    "banditroute_latency_seconds_sum",
    "banditroute_queued_decisions",  # its lag is shown
}
