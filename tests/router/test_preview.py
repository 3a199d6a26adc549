"""Previews: what would be decided, without deciding it."""

import inspect

import pytest

from banditroute import Router
from banditroute.budgets import Budget
from banditroute.errors import InvalidRequestError
from banditroute.guard import Guard
from banditroute.limits import Limits, Rule, Share
from banditroute.router.settings import RouterSettings
from tests.support import engine_of, make_router, serve


@pytest.mark.parametrize(
    "settings",
    [
        {"traffic": {"b": Share(at_most=0.2)}},
        {"guard": Guard(baseline="a")},
        {"budgets": [Budget(usd=0.01, per="day")]},
        {"limits": Limits(rules=[Rule(when="tag('x')", arms=["b"])])},
    ],
)
def test_preview_shows_the_probabilities_of_the_next_decision_and_changes_nothing(settings):
    def made():
        router = make_router(**settings)
        for _ in range(30):
            serve(router, quality=0.5, cost_usd=0.001)
        return router

    with made() as looked, made() as left:
        preview = looked.preview([0.3, -0.2], tags=["x"])
        assert preview.id == ""
        before = looked.status()
        for _ in range(20):
            seen = looked.preview([0.3, -0.2], tags=["x"])
        assert looked.status().decisions == before.decisions
        for _ in range(10):
            one, other = looked.route([0.3, -0.2], tags=["x"]), left.route([0.3, -0.2], tags=["x"])
            assert one.arm == other.arm
            assert one.probabilities.tolist() == other.probabilities.tolist()
        assert seen.arms == preview.arms
        assert seen.probabilities.tolist() == preview.probabilities.tolist()
        assert preview.arm == preview.arms[int(preview.probabilities.argmax())]


def test_preview_of_a_router_in_trouble_is_its_fallback(monkeypatch):
    with Router(arms=["a", "b"], features=1, fallback="b") as router:

        def broken(ask):
            raise RuntimeError("broken")

        monkeypatch.setattr(engine_of(router), "preview", broken)
        preview = router.preview([0.5])
        assert (preview.arm, preview.reason) == ("b", "fallback: broken")
        assert router.preview([0.5], exclude=["b"]).arm == "a"
        assert router.status().fallbacks == 0


def test_preview_checks_its_request():
    with Router(arms=["a"], features=1) as router, pytest.raises(InvalidRequestError, match="unknown arm"):
        router.preview([0.5], arms=["c"])


@pytest.mark.parametrize(
    "ask", [lambda r: r.preview([0.5], prefrence=None), lambda r: r.route_many([[0.5]], limit=None)]
)
def test_unknown_option_is_refused_as_python_refuses_it(ask):
    with pytest.raises(TypeError, match=r"unexpected keyword argument (prefrence|limit); known: preference, arms"):
        ask(Router(arms=["a"], features=1))


def test_settings_take_what_a_router_takes():
    assert inspect.signature(RouterSettings.checked).parameters.keys() == inspect.signature(Router).parameters.keys()
