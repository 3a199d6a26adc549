"""Routers from files and files from routers."""

import inspect
import json
import re
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from banditroute import Arm, Preference, Router
from banditroute.budgets import Budget
from banditroute.config import check_router, dump_router, json_schema, load_deployment, load_router
from banditroute.config.parts import PARTS, PYTHON_ONLY
from banditroute.core.schema import MistakesError, parameters
from banditroute.errors import InvalidConfigurationError
from banditroute.features import Compose, Hashed, Metadata, Template, TextFeatures, Vocabulary
from banditroute.guard import Guarantee, Guard
from banditroute.learners import EpsilonGreedy, LinUCB
from banditroute.limits import Limits, Quota, Rule, Share
from banditroute.observe import LoggingObserver
from banditroute.router.assembly import parts_of
from banditroute.store import SQLStore

FILE = """
name = "support"
features = 1
seed = 3
fallback = "large"
preference = {quality = 1.0, cost_usd = 50.0}
breaker = false
budgets = [{usd = 20.0, per = "day"}]
switching = {latency_seconds = 0.5}

[[arms]]
name = "small"
input_usd_per_million_tokens = 0.15
output_usd_per_million_tokens = 0.6
capabilities = ["tools"]

[[arms]]
name = "large"
capabilities = ["tools", "vision"]

[learner]
type = "LinUCB"
alpha = 1.5
belief = {type = "Linear", half_life_requests = 2000.0}

[limits]
max_latency_seconds = 5.0
rules = [{when = "tag('private')", arms = ["small"]}]

[traffic.large]
at_most = 0.4

[guard]
baseline = "small"
utility_range = [0.0, 1.0]
alpha = 0.1
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "router.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_file_makes_the_router_that_it_describes(path):
    with load_router(path, environment={}) as router:
        assert [arm.name for arm in router.arms] == ["small", "large"]
        made = parts_of(router).settings
        assert (made.name, made.fallback, made.seed, made.breaker) == ("support", "large", 3, None)
        assert made.preference == {"quality": 1.0, "cost_usd": 50.0}
        assert made.budgets == [Budget(usd=20.0, per="day")]
        assert made.learner.policy.alpha == 1.5
        assert made.learner.belief.half_life_requests == 2000.0
        assert made.traffic == {"large": Share(at_most=0.4)}
        assert made.guard == Guard(baseline="small", utility_range=(0.0, 1.0), alpha=0.1)
        assert made.limits.rules == (Rule(when="tag('private')", arms=["small"]),)
        assert router.route([0.5], tags=["private"]).arm == "small"


def test_tables_and_file_make_the_same_router(path):
    with load_router(path, environment={}) as one, load_router(tomllib.loads(FILE), environment={}) as other:
        assert dump_router(one) == dump_router(other)
        assert [one.route([0.5]).arm for _ in range(20)] == [other.route([0.5]).arm for _ in range(20)]


def test_written_file_reads_as_the_same_router(path):
    with load_router(path, environment={}) as router:
        text = dump_router(router)
        tables, original = tomllib.loads(text), tomllib.loads(FILE)
        assert tables == original
        router.set_traffic({"large": Share(at_most=0.3)})
        assert tomllib.loads(dump_router(router))["traffic"] == {"large": {"at_most": 0.3}}


def test_router_made_in_python_is_written(tmp_path):
    made = Router(
        arms=[Arm(name="a", descriptors={"billions": 7.0}), "b"],
        features=Compose(blocks=[TextFeatures(), Template(slots=4)]),
        learner=EpsilonGreedy(epsilon=0.2),
        store=SQLStore(f"sqlite:///{tmp_path}/a.db"),
        limits=Limits(requires=[]),
    )
    with made:
        text = dump_router(made)
    tables = tomllib.loads(text)
    assert tables["features"]["blocks"] == [{"type": "TextFeatures"}, {"type": "Template", "slots": 4}]
    assert tables["learner"]["epsilon"] == 0.2
    with load_router(tables, environment={}) as again:
        assert again.features.version == made.features.version
        assert dump_router(again) == text


def test_part_of_ones_own_is_not_written():
    class Mine(LinUCB):
        pass

    class Eye:
        def on_decision(self, decision): ...
        def on_feedback(self, feedback): ...
        def on_event(self, event): ...

    for part in ({"learner": Mine()}, {"observers": [Eye()]}):
        with (
            Router(arms=["a"], features=1, **part) as router,
            pytest.raises(InvalidConfigurationError, match="cannot be written in a file"),
        ):
            dump_router(router)
    with (
        Router(arms=["a"], features=1, observers=[LoggingObserver()]) as router,
        pytest.raises(InvalidConfigurationError, match="cannot be written"),
    ):
        dump_router(router)


SECRET = "hunter2-very-secret"


TABLES = {
    "arms": ["a"],
    "features": 1,
    "upstreams": {"a": {"api_key": "${KEY}"}},
    "adapters": {
        "type": "AdapterCache",
        "backend": {"type": "VLLMBackend", "base_url": "http://127.0.0.1:1", "api_key": "${KEY}"},
    },
}


class TestSecrets:
    def test_secret_comes_from_the_environment_and_is_not_shown(self):
        deployment = load_deployment(TABLES, environment={"KEY": SECRET})
        assert deployment.upstreams["a"].api_key.get_secret_value() == SECRET
        assert SECRET not in repr(deployment) + str(deployment.upstreams)
        with Router(**deployment.router) as router:
            text = dump_router(router)
        assert SECRET not in text
        assert "${API_KEY}" in text

    def test_password_of_an_address_is_not_written(self):
        store = SQLStore("postgresql://me:hunter2@127.0.0.1:1/x")
        table = PARTS.write(store)
        assert table == {"type": "SQLStore", "url": "postgresql://me:${PASSWORD}@127.0.0.1:1/x"}

    @pytest.mark.parametrize(
        "tables",
        [
            {"upstreams": {"a": {"api_key": [SECRET]}}},
            {"upstreams": {"a": {"api_key": "${KEY}", "timeout_seconds": -1.0}}},
            {"store": {"type": "SQLStore", "url": f"sqlight://{SECRET}@x"}},
            {"features": {"type": "RandomProjection", "block": {"type": "TextFeatures"}, "secret": 3}},
        ],
    )
    def test_no_mistake_quotes_a_secret(self, tables):
        mistakes = check_router({"arms": ["a"], **tables}, environment={"KEY": SECRET})
        assert mistakes
        assert SECRET not in "".join(map(str, mistakes))

    def test_missing_variable_is_named(self):
        mistakes = check_router(TABLES, environment={})
        assert [each.path for each in mistakes] == ["upstreams.a.api_key", "adapters.backend.api_key"]
        assert "the environment variable KEY is not set" in mistakes[0].message


class TestEnvironment:
    def test_variable_replaces_a_value(self, path):
        environment = {
            "BANDITROUTE__LEARNER__ALPHA": "2.5",
            "BANDITROUTE__ARMS__0__NAME": "tiny",
            "BANDITROUTE__LIMITS__RULES": "[]",
            "BANDITROUTE__FALLBACK": "tiny",
            "BANDITROUTE__SERVE__PORT": "9000",
            "BANDITROUTE_OTHER": "x",
        }
        deployment = load_deployment(path, environment=environment)
        assert deployment.router["learner"].policy.alpha == 2.5
        assert deployment.router["arms"][0].name == deployment.router["fallback"] == "tiny"
        assert deployment.serve.port == 9000

    @pytest.mark.parametrize("name", ["BANDITROUTE__", "BANDITROUTE__ARMS__7__NAME", "BANDITROUTE__NAME__X"])
    def test_variable_without_a_place_is_a_mistake(self, path, name):
        assert [each.path for each in check_router(path, environment={name: "1"})][:1] == [name]


class TestMistakes:
    def test_mistakes_are_all_named_with_paths_and_near_names(self):
        tables = {
            "arms": ["a", 3, {"name": "b", "input_usd_per_million_tokens": -1.0}, {"nam": "c"}],
            "learner": {"type": "LinUBC"},
            "features": {"type": "Compose", "blocks": [{"type": "Template", "slot": 3}]},
            "guard": {"baseline": "a", "mode": "aply"},
            "budgets": [{"usd": "1"}],
            "limits": {"rules": [{"when": "tag(", "arms": ["a"]}, {"when": "true"}]},
            "store": "sqlite:///x.db",
            "upstreams": {"a": {"base_ur": "x"}},
            "sed": 1,
        }
        found = {each.path: each.message for each in check_router(tables, environment={})}
        assert found["arms[1]"] == "it is 3 (int); give a text or a table"
        assert "one token price of two" in found["arms[2]"]
        assert found["limits.rules[1].arms"] == "it must be given"
        assert found["arms[3].nam"] == "unknown; did you mean 'name'?"
        assert found["learner.type"] == "unknown 'LinUBC'; did you mean 'LinUCB'?"
        assert found["features.blocks[0].slot"] == "unknown; did you mean 'slots'?"
        assert found["guard.mode"] == "unknown 'aply'; did you mean 'apply'?"
        assert found["budgets[0].usd"].startswith("it is '1' (str); give")
        assert "cannot read the condition" in found["limits.rules[0]"]
        assert found["store"].endswith("give a table with a type")
        assert found["upstreams.a.base_ur"] == "unknown; did you mean 'base_url'?"
        assert found["sed"] == "unknown; did you mean 'seed'?"
        assert len(found) == 12

    def test_contradiction_of_parts_is_named(self):
        (mistake,) = check_router({"arms": ["a"], "fallback": "b"}, environment={})
        assert "unknown fallback arm 'b'" in str(mistake)

    def test_upstream_of_an_unknown_arm_is_a_mistake(self):
        (mistake,) = check_router({"arms": ["a"], "upstreams": {"b": {}}}, environment={})
        assert str(mistake) == "upstreams.b: no arm has this name; known: a"

    def test_file_that_is_no_toml_is_named(self, tmp_path):
        path = tmp_path / "router.toml"
        for content in (b"arms = ", b"\xff", None):
            path.write_bytes(content) if content else path.unlink()
            with pytest.raises(InvalidConfigurationError, match=r"router\.toml cannot be read as TOML"):
                load_router(path)

    def test_load_raises_with_all_mistakes(self):
        with pytest.raises(MistakesError, match="seed") as error:
            load_router({"arms": ["a"], "seed": "x", "name": 3}, environment={})
        assert len(error.value.mistakes) == 2


class TestSchema:
    def test_every_parameter_of_every_part_is_in_the_schema(self):
        schema = json_schema()
        left_out = {"Router": {"clock"}, "Fleet": {"clock"}, "SimulatedBackend": {"pass_time"}}
        left_out |= {"OpenTelemetryObserver": {"tracer_provider", "logger_provider"}}
        left_out |= {"PrometheusObserver": {"registry"}, "SentenceEmbedding": set()}
        left_out |= {"TaskType": {"classifier"}, "SemanticCluster": {"codebook"}}
        own = set(inspect.signature(Router).parameters) - left_out["Router"]
        assert own | {"upstreams", "serve"} == set(schema["properties"])
        parts = {each for role in PARTS.roles.values() for each in role} | {Arm, Budget, Guard, Limits, Rule, Share}
        for cls in parts:
            table = schema["$defs"][cls.__name__]
            wanted = set(inspect.signature(cls).parameters) - left_out.get(cls.__name__, set())
            assert set(table["properties"]) - {"type"} == wanted - {"_test"}, cls
            assert table["additionalProperties"] is False
            required = {each.name for each in parameters(cls) if each.required}
            assert set(table.get("required", ())) - {"type"} == required, cls

    def test_classes_for_python_alone_exist(self):
        import banditroute.adapters
        import banditroute.observe
        import banditroute.policies

        rooms = (banditroute.adapters, banditroute.observe, banditroute.policies)
        assert all(any(hasattr(room, name) for room in rooms) for name in PYTHON_ONLY)

    def test_schema_accepts_the_file(self):
        jsonschema = pytest.importorskip("jsonschema")
        schema = json.loads(json.dumps(json_schema()))
        tables = tomllib.loads(FILE)
        jsonschema.validate(tables, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**tables, "sed": 1}, schema)


share = some.floats(0.0, 1.0)
positive = some.floats(1e-6, 1e6)
names = some.lists(some.text(min_size=1, max_size=20).filter(str.isprintable), min_size=1, max_size=4, unique=True)
beliefs = some.one_of(
    some.none(),
    some.fixed_dictionaries({"type": some.sampled_from(["Hybrid", "Linear"])}, optional={"noise_strength": positive}),
)
learners = some.one_of(
    some.fixed_dictionaries({"type": some.just("LinUCB")}, optional={"alpha": positive, "belief": beliefs}),
    some.fixed_dictionaries({"type": some.just("ThompsonSampling")}, optional={"scale": positive}),
    some.fixed_dictionaries({"type": some.just("EpsilonGreedy")}, optional={"epsilon": share}),
    some.fixed_dictionaries(
        {"type": some.just("Learner"), "policy": some.sampled_from([{"type": "Uniform"}, {"type": "Adaptive"}])}
    ),
)


@some.composite
def routers(draw):
    arms = draw(names)
    tables = {"arms": [draw(some.one_of(some.just(arm), some.just({"name": arm}))) for arm in arms], "features": 1}
    optional = {
        "learner": learners,
        "seed": some.integers(0, 2**31),
        "preference": some.fixed_dictionaries({"quality": positive}, optional={"cost_usd": positive}),
        "fallback": some.sampled_from(arms),
        "store_prompts": some.booleans(),
        "breaker": some.one_of(some.just(False), some.fixed_dictionaries({}, optional={"reset_seconds": positive})),
        "budgets": some.just([{"usd": 0.25, "per": "day"}]),
        "traffic": some.fixed_dictionaries({arms[0]: some.fixed_dictionaries({"at_most": some.floats(0.5, 1.0)})}),
        "limits": some.fixed_dictionaries({}, optional={"max_cost_usd": positive, "min_quality": some.just(0.5)}),
    }
    chosen = draw(some.sets(some.sampled_from(sorted(optional))))
    tables |= {name: draw(optional[name]) for name in sorted(chosen)}
    if len(arms) == 1:
        tables.pop("traffic", None)
    return tables


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(routers())
def test_dumped_router_loads_with_the_same_settings(tables):
    with load_router(tables, environment={}) as router:
        text = dump_router(router)
        with load_router(tomllib.loads(text), environment={}) as again:
            assert dump_router(again) == text
            for name in ("arms", "preference", "breaker", "budgets", "traffic", "limits", "fallback", "store_prompts"):
                assert getattr(parts_of(again).settings, name) == getattr(parts_of(router).settings, name)
            assert repr(parts_of(again).settings.learner) == repr(parts_of(router).settings.learner)


def test_a_preference_within_a_loss_is_written_and_read():
    router = Router(arms=["a", "b"], features=1, preference=Preference(quality=1, cost_usd=3, within=0.02))
    again = load_router(tomllib.loads(dump_router(router)), environment={})
    assert again.route([0.5]).preference == router.route([0.5]).preference
    assert again.route([0.5], preference={"within": 0.1}).preference.within == 0.1


def test_removed_arm_is_not_written():
    router = Router(
        arms=["a", "b", "c"],
        features=1,
        fallback="c",
        limits=Limits(rules=[Rule(when="tag('x')", arms=["a", "c"])]),
        budgets=[Budget(usd=1, per="day", arm="c"), Budget(usd=2, per="hour")],
        quotas=[Quota(arms=["c"], requests_per_minute=5), Quota(arms=["c", "b"], requests_per_minute=9)],
        guard=Guard(baseline={"c": 0.5, "a": 0.5}),
        traffic={"b": Share(at_most=0.5), "c": Share(at_most=0.5)},
    )
    router.remove_arm("c")
    with load_router(tomllib.loads(dump_router(router)), environment={}) as again:
        made = parts_of(again).settings
    assert ([arm.name for arm in made.arms], made.fallback) == (["a", "b"], "a")
    assert made.limits.rules == (Rule(when="tag('x')", arms=["a"]),)
    assert made.budgets == [Budget(usd=2, per="hour")]
    assert made.quotas == [Quota(arms=["b"], requests_per_minute=9)]
    assert (made.guard.baseline, made.traffic) == ({"a": 0.5}, {"b": Share(at_most=0.5)})


def test_fallback_that_the_guarantee_rests_on_is_written():
    router = Router(arms=["a", "b"], features=1, fallback="a", guarantee=Guarantee())
    with load_router(tomllib.loads(dump_router(router)), environment={}) as again:
        assert parts_of(again).settings.fallback == "a"


def test_categories_of_metadata_are_written_and_read():
    metadata = Metadata(numeric={"n": (0, 8)}, categorical={"tier": ["free", "gold"], "customer": Hashed(slots=4)})
    router = Router(arms=["a"], features=metadata)
    again = load_router(tomllib.loads(dump_router(router)), environment={})
    assert again.features.version == metadata.version


def test_vocabulary_is_written_with_its_type_and_read():
    features = Compose(blocks=[Metadata(categorical={"tenant": Vocabulary(size=4), "user": Hashed(slots=4)})])
    tables = tomllib.loads(dump_router(Router(arms=["a"], features=features)))
    assert tables["features"]["blocks"][0]["categorical"] == {
        "tenant": {"type": "Vocabulary", "size": 4},
        "user": {"slots": 4},
    }
    assert load_router(tables, environment={}).features.version == features.version


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            {"profile": {"quality": {"mth": 0.5}}},
            "the profile of arm 'a' names mth; the features have metadata.task.math",
        ),
        ({"profile": {"wit": {"math": 0.5}}}, "unknown objective 'wit' .*; known objectives: "),
        ({"expected": {"wit": 0.5}}, "unknown objective 'wit' .*; known objectives: "),
        ({"expected": {"cost_usd": 1e155}}, "'cost_usd' in expected of arm 'a' is 1e\\+155"),
    ],
)
def test_check_finds_what_no_arm_can_state(statement, message):
    features = {"type": "Metadata", "categorical": {"task": ["math", "code"]}}
    (mistake,) = check_router({"arms": [{"name": "a", **statement}], "features": features}, environment={})
    assert re.search(message, mistake.message)
