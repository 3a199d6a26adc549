"""A value of a wrong type is refused with an error of this package, by every public constructor and by every method."""

import inspect
import warnings

import pytest

import banditroute
from banditroute import BanditRouteError, Guard, Router
from banditroute.adapters import Capacity, SimulatedBackend
from banditroute.config import check_router, load_deployment, load_router
from banditroute.errors import InvalidRequestError
from banditroute.policies import Uniform


class Unhashable(str):
    """A text that no mapping holds."""

    __hash__ = None


WRONG = {
    "none": None, "object": object(), "empty": "", "list": [object()], "number": 7, "bytes": b"x",
    "unhashable": Unhashable("a"), "long": "x" * 1_000_000, "many": ["x" * 1_000] * 1_000, "large number": 10**4_000,
}  # fmt: skip
GIVEN = {
    "AdapterCache": {"backend": SimulatedBackend(capacity=Capacity(slots=1))},
    "AdapterSpec": {"name": "a", "path": "p"},
    "Arm": {"name": "a"},
    "Budget": {"usd": 1.0},
    "Guard": {"baseline": "a"},
    "Learner": {"policy": Uniform()},
    "Objective": {"name": "stars", "higher_is_better": True},
    "Preference": {"quality": 1.0},
    "Router": {"arms": ["a", "b"], "features": 1},
    "SQLStore": {"url": "sqlite:///:memory:"},
    "Scaled": {"weights": {"quality": 1.0}},
}
MADE_BY_THE_ROUTER = {
    "ArmStatus", "Assurance", "BudgetStatus", "Decision", "DecisionSet", "Explanation", "Lease", "Residency", "Rollout",
    "Status", "Step",
}  # fmt: skip
CONSTRUCTORS = [
    name
    for name in banditroute.__all__
    if inspect.isclass(made := getattr(banditroute, name))
    and not issubclass(made, BaseException)
    and not getattr(made, "_is_protocol", False)
    and name not in MADE_BY_THE_ROUTER
]
METHODS = [name for name, _ in inspect.getmembers(Router, inspect.isfunction) if not name.startswith("_")]


def named(function):
    """Return the parameters of a function that have a name."""
    every = inspect.signature(function).parameters.values()
    return [each for each in every if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL) and each.name != "self"]


def refused_or_done(call):
    """Call, and let nothing pass but an error of the package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            made = call()
            repr(made)
            if hasattr(made, "close"):
                made.close()
        except BanditRouteError:
            return


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_constructor_refuses_wrong_types_with_an_error_of_the_package(name, wrong):
    constructor = getattr(banditroute, name)
    for parameter in named(constructor):
        refused_or_done(lambda: constructor(**{**GIVEN.get(name, {}), parameter.name: WRONG[wrong]}))  # noqa: B023


def arguments(router, method):
    """Return usable arguments for a method of a router."""
    decision = router.route([0.5], session="s")
    usable = {
        "arm": "c", "decision": decision, "decision_id": decision.id, "headers": {},
        "log": [([0.5], {"a": {"quality": 1.0}})], "mode": "apply", "name": "b",
        "ranking": [decision.id, router.route([0.4]).id], "reports": [(decision.id, {"quality": 1.0})],
        "request": [0.5], "requests": [[0.5]], "session": "s", "signal": 0.5, "signals": {"judge": 0.5}, "traffic": {},
    }  # fmt: skip
    return {each.name: usable[each.name] for each in named(method) if each.default is each.empty}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", METHODS)
async def test_method_refuses_wrong_types_with_an_error_of_the_package(name, wrong):
    for parameter in named(getattr(Router, name)):
        with Router(arms=["a", "b"], features=1, guard=Guard(baseline="a"), seed=0) as router:
            given = {**arguments(router, getattr(Router, name)), parameter.name: WRONG[wrong]}
            try:
                answer = getattr(router, name)(**given)
                if inspect.isawaitable(answer):
                    await answer
            except BanditRouteError:
                continue


@pytest.mark.parametrize("read", [load_router, load_deployment, check_router])
@pytest.mark.parametrize("wrong", WRONG)
def test_configuration_of_a_wrong_type_is_refused(read, wrong):
    refused_or_done(lambda: read(WRONG[wrong], environment={}))


@pytest.mark.parametrize(
    ("constructor", "setting", "remedy"),
    [
        ("Arm", {"profile": None}, "profile of arm 'a' is None .*; give a mapping, for example"),
        ("Arm", {"adapter": "law"}, r"adapter of arm 'a' is 'law'; give AdapterSpec\(name="),
        ("Learner", {"belief": "Hybrid"}, "belief is 'Hybrid'; give the settings of one"),
        ("Learner", {"drift": True}, "drift is True; give banditroute.beliefs.PageHinkley"),
        ("Objective", {"higher_is_better": 1}, "higher_is_better of 'stars' is 1 .*; give True or False"),
        ("Router", {"clock": 5.0}, "clock is 5.0; give a function"),
        ("Router", {"objectives": None}, "objectives is None .*; give several, for example"),
        ("Router", {"store_prompts": "yes"}, "store_prompts is 'yes' .*; give True or False"),
        ("Scaled", {"weights": None}, "weights is None .*; give a mapping, for example"),
    ],
)
def test_error_names_the_value_and_the_remedy(constructor, setting, remedy):
    with pytest.raises(banditroute.InvalidConfigurationError, match=remedy):
        getattr(banditroute, constructor)(**{**GIVEN[constructor], **setting})


def test_reports_of_a_wrong_type_are_refused_with_an_example():
    router = Router(arms=["a"], features=1)
    with pytest.raises(banditroute.InvalidFeedbackError, match=r"reports is None .*\(decision.id, {'quality'"):
        router.feedback_many(None)
    with pytest.raises(banditroute.InvalidRequestError, match=r"requests is None .*give several"):
        router.route_many(None)


@pytest.mark.parametrize("given", [None, "text", 7])
def test_lease_of_something_else_says_what_to_give(given):
    router = Router(arms=["a"], features=1)
    with router, pytest.raises(InvalidRequestError, match=r"give the decision that route\(\) returned"):
        router.lease(given)
