"""Every decision that fell back is counted, observed and named in the log."""

from banditroute import Arm, Budget, Router
from banditroute.core.events import FellBack
from banditroute.limits import Quota


class Seen:
    def __init__(self):
        self.fallbacks = []

    def on_decision(self, decision):
        pass

    def on_feedback(self, feedback):
        pass

    def on_event(self, event):
        if isinstance(event, FellBack):
            self.fallbacks.append(event)


def test_uncovered_calls_of_a_hard_budget_are_counted_and_observed():
    arms = [Arm(name="small", max_cost_usd=0.3), Arm(name="large", max_cost_usd=0.5)]
    seen = Seen()
    budget = Budget(usd=0.1, per="day", hard=True)
    with Router(arms=arms, features=1, budgets=[budget], observers=[seen], seed=0) as router:
        decisions = [router.route([0.5]) for _ in range(3)]
        assert all(decision.fell_back for decision in decisions)
        assert router.status().fallbacks == 3
    assert [event.decision_id for event in seen.fallbacks] == [decision.id for decision in decisions]
    assert seen.fallbacks[0].trouble.startswith("budget 'cost_usd per day'")


def test_calls_beyond_all_quotas_are_counted():
    quota = Quota(arms=["small", "large"], requests_per_minute=1)
    router = Router(arms=["small", "large"], features=1, quotas=[quota], seed=0)
    assert sum(router.route([0.5]).fell_back for _ in range(4)) == router.status().fallbacks == 3
