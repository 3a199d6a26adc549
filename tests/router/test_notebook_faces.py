"""How routers and their values look in a notebook or a terminal: short, and safe with hostile names."""

import pytest

from banditroute import Router, TextFeatures

HOSTILE = "<script>alert(1)</script>" + "x" * 100


def values():
    router = Router(arms=[HOSTILE, *(f"arm {n}" for n in range(300))], features=TextFeatures(), seed=0)
    decision = router.route("Why is the sky blue?")
    return {"router": router, "decision": decision, "status": router.status(), "explanation": decision.explain()}


@pytest.mark.parametrize("what", ["router", "decision", "status", "explanation"])
def test_repr_is_short(what):
    assert len(repr(values()[what])) <= 2_000


@pytest.mark.parametrize("what", ["router", "decision", "status", "explanation"])
def test_html_is_escaped(what):
    html = values()[what]._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_decision_says_arm_probability_reason_and_id():
    decision = Router(arms=["small", "large"], features=1, seed=0).route([0.5], arms=["small"])
    assert (
        repr(decision)
        == f"Decision('small' with probability 1 among 0 other arms; {decision.reason}; id={decision.id!r})"
    )
