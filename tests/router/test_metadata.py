"""What route() is told of a request beside its text reaches the featurizer, or is refused."""

import numpy as np
import pytest

from banditroute import Router
from banditroute.core.request import Request
from banditroute.errors import InvalidRequestError
from banditroute.features import Compose, Hashed, Metadata, Template
from banditroute.store import MemoryStore

SCHEMA = Metadata(
    numeric={"age": (0, 10), "input_tokens": (0, 100)}, categorical={"tier": ["free", "gold"], "tags": Hashed(slots=8)}
)


def make(features=SCHEMA, **options):
    return Router(arms=["a", "b"], features=features, seed=0, **options)


def test_metadata_reaches_the_context():
    given = {"age": 3, "tier": "gold"}
    with make() as router:
        decision = router.route("hi", metadata=given, tags=["t"], input_tokens=20)
    assert decision.reason == "policy"
    request = Request(text="hi", metadata=given, tags=("t",), input_tokens=20)
    assert np.array_equal(decision.x, np.append(SCHEMA.transform_one(request), 1.0))


def test_template_reaches_the_context():
    features = Template(slots=8)
    with make(features) as router:
        named, other = router.route("hi", template="support").x, router.route("quite another", template="support").x
        assert np.array_equal(named, other)
        assert named[:-1].max() == pytest.approx(8.0**0.5)
        assert np.array_equal(router.route("hi").x[:-1], features.transform_one(Request(text="hi")))


async def test_aroute_takes_them_too():
    features = Compose(blocks=[SCHEMA, Template()])
    with make(features) as router:
        options = {"metadata": {"tier": "gold"}, "template": "support"}
        assert np.array_equal((await router.aroute("hi", **options)).x, router.route("hi", **options).x)


def test_route_many_gives_them_to_every_request():
    features = Compose(blocks=[SCHEMA, Template()])
    with make(features) as router:
        options = {"metadata": {"tier": "gold"}, "template": "support"}
        many = router.route_many(["hi", "ho"], **options)
        assert all(np.array_equal(decision.x, router.route("hi", **options).x) for decision in many)


def test_metadata_of_none_equals_missing_metadata():
    with make() as router:
        assert np.array_equal(router.route("hi", metadata={"tier": None}).x, router.route("hi", metadata=None).x)


def test_ready_features_take_them_and_do_not_mind():
    with make(2) as router:
        decision = router.route([1.0, 2.0], template="support", metadata={"tier": "gold"})
    assert decision.x.tolist() == [1.0, 2.0, 1.0]


def test_the_callers_mapping_may_change_afterwards():
    seen = []

    class Spy(Metadata):
        def transform_one(self, request):
            seen.append(request.metadata)
            return super().transform_one(request)

    given = {"tier": "gold"}
    with make(Spy(categorical={"tier": ["free", "gold"]})) as router:
        router.route("hi", metadata=given)
        given["tier"] = "free"
    assert seen == [{"tier": "gold"}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"template": 7}, r"template is 7 \(int\); give a string"),
        ({"template": ""}, "template has 0 characters"),
        ({"metadata": "gold"}, "give a mapping"),
        ({"metadata": [("tier", "gold")]}, "give a mapping"),
        ({"metadata": {3: "gold"}}, "a name in metadata is 3"),
        ({"metadata": {"tier": ["gold"]}}, r"metadata 'tier' is \['gold'\] \(list\); give a number"),
        ({"metadata": {"age": True}}, r"metadata 'age' is True \(bool\)"),
        ({"metadata": {"age": float("nan")}}, "give a finite number"),
        ({"metadata": {"input_tokens": 3}}, "has a keyword of its own: input_tokens="),
        ({"metadata": {"age": "old"}}, r"metadata 'age' is 'old' \(str\); give a number"),
        ({"metadata": {"tier": 3}}, "declared as a category"),
    ],
)
def test_unusable_values_are_refused_and_nothing_is_recorded(options, message):
    decided = []

    class Noting(MemoryStore):
        def add_decision(self, decision, prompt=None):
            decided.append(decision)

    with make(store=Noting()) as router:
        for call in (lambda: router.route("hi", **options), lambda: router.route_many(["hi", "ho"], **options)):
            with pytest.raises(InvalidRequestError, match=message):
                call()
        assert router.status().fallbacks == 0
    assert not decided


def test_requests_can_still_be_hashed():
    assert hash(Request(text="a", metadata={"tier": "gold"})) == hash(Request(text="a", metadata={"tier": "gold"}))
