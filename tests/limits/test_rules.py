"""Rules: conditions in words, read by a grammar."""

import random

import pytest

from banditroute import Router
from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.limits import Limits, Rule
from tests.support import engine_of

ASKED = Request(
    text="Why?", tags=("private", "eu"), session="7", input_tokens=1200, metadata={"task": "medical", "age": 41.0}
)


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("tag('private')", True),
        ('tag("public")', False),
        ("tag('private') or task == 'medical'", True),
        ("tag('public') or task == 'medical'", True),
        ("tag('public') and task == 'medical' or tag('eu')", True),  # and binds tighter than or
        ("tag('public') and (task == 'medical' or tag('eu'))", False),
        ("not tag('public')", True),
        ("not not tag('public')", False),
        ("not tag('public') and not tag('us')", True),
        ("input_tokens > 1000", True),
        ("1000 < input_tokens", True),
        ("input_tokens >= 1200 and input_tokens <= 1200", True),
        ("input_tokens < 1200", False),
        ("age == 41", True),
        ("age != 41", False),
        ("age == '41'", False),
        ("session == '7'", True),
        ("task < 'n'", True),
        ("age", True),
        ("tier", False),  # not known
        ("tier == 'gold'", False),
        ("tier != 'gold'", True),
        ("tier > 1", False),
        ("tier <= 1", False),
        ("template == template", False),  # not known, which equals nothing
        ("tag('private') == true", True),
        ("(tag('private'))", True),
        ("age > 'a'", False),
    ],
)
def test_condition_holds_as_it_reads(when, holds):
    assert Rule(when=when, arms=["local"]).holds(ASKED) is holds


@pytest.mark.parametrize(
    "when",
    [
        "",
        " ",
        "tag(",
        "tag(private)",
        "tag('a'",
        "tag('a') or",
        "and tag('a')",
        "task = 'a'",
        "task == ",
        "a b",
        "1 <",
        "(a",
        "a)",
        "not",
        "'a",
        "__import__('os').system('true')",
        "a == b == c",
        "lambda: 1",
        "a.b",
        "-1 < a",
        "(" * 60 + "a" + ")" * 60,
        "not " * 60 + "a",
        "a" * 20_000,
        3,
    ],
)
def test_condition_that_cannot_be_read_is_refused(when):
    with pytest.raises(InvalidConfigurationError, match=r"cannot read the condition|give a condition") as error:
        Rule(when=when, arms=["local"])
    assert len(str(error.value)) < 400


def test_rule_without_arms_is_refused():
    with pytest.raises(InvalidConfigurationError, match="names no arm"):
        Rule(when="a", arms=[])


PIECES = [
    "tag",
    "(",
    ")",
    "'a'",
    '"b"',
    "and",
    "or",
    "not",
    "==",
    "!=",
    "<",
    ">=",
    "1",
    "2.5",
    "x",
    "true",
    " ",
    "'",
    ".",
]


def fuzz(count, seed):
    random_ = random.Random(seed)
    read = 0
    for _ in range(count):
        if random_.random() < 0.5:
            when = " ".join(random_.choices(PIECES, k=random_.randrange(12)))
        else:
            when = "".join(map(chr, random_.choices([*range(32, 127), 0, 0xE9, 0x663, 0xD800, 0x1F600], k=8)))
        try:
            rule = Rule(when=when, arms=["local"])
        except InvalidConfigurationError:
            continue
        assert rule.holds(ASKED) in (True, False)
        read += 1
    return read


def test_random_texts_give_declared_errors_only():
    assert fuzz(5_000, seed=0) > 50


@pytest.mark.slow
def test_100_000_random_texts_give_declared_errors_only():
    assert fuzz(100_000, seed=1) > 1000


class TestRouter:
    RULES = Limits(
        rules=[Rule(when="tag('private')", arms=["local"]), Rule(when="task == 'code'", arms=["local", "b"])]
    )

    @pytest.fixture
    def router(self):
        with Router(arms=["a", "b", "local"], features=1, limits=self.RULES, seed=0) as router:
            yield router

    def test_only_the_named_arms_serve_where_a_rule_holds(self, router):
        for _ in range(30):
            assert router.route([0.5], tags=["private"]).arm == "local"
            assert router.route([0.5], metadata={"task": "code"}).arm in ("b", "local")
            assert router.route([0.5], metadata={"task": "code"}, tags=["private"]).arm == "local"
        assert {router.route([0.5]).arm for _ in range(60)} == {"a", "b", "local"}
        assert {each.arm for each in router.route_many([[0.5]] * 20, tags=["private"])} == {"local"}

    def test_explanation_names_the_rule(self, router):
        decision = router.route([0.5], tags=["private"])
        assert decision.reason == "rules: tag('private')"
        assert "rules: tag('private')" in str(decision.explain())
        assert [row.arm for row in decision.explain().rows] == ["local"]

    def test_fallback_keeps_the_rules(self, router, monkeypatch):
        def broken(ask):
            raise RuntimeError("broken")

        monkeypatch.setattr(engine_of(router), "decide", broken)
        decision = router.route([0.5], tags=["private"])
        assert decision.arm == "local"
        assert decision.reason == "fallback: RuntimeError: broken; rules: tag('private')"

    def test_escalation_keeps_the_rules(self, router):
        first = router.route([0.5], metadata={"task": "code"}, exclude=["b"])
        assert first.arm == "local"
        assert router.escalate(first.id, signal=0.0) is None  # no other arm was eligible

    def test_request_that_allows_no_named_arm_is_refused(self, router):
        with pytest.raises(InvalidRequestError, match="leave none of a"):
            router.route([0.5], tags=["private"], arms=["a"])
        with pytest.raises(InvalidRequestError, match="leave none of a"):
            router.route_many([[0.5]], tags=["private"], arms=["a"])
        assert router.status().decisions == 0

    def test_rule_of_a_request_tightens(self, router):
        more = Limits(rules=[Rule(when="true", arms=["b", "local"])])
        assert {router.route([0.5], limits=more).arm for _ in range(30)} == {"b", "local"}
        assert router.route([0.5], limits=more, tags=["private"]).arm == "local"

    def test_last_arm_of_a_rule_stays(self, router):
        with pytest.raises(InvalidConfigurationError, match="leaves none of the arms"):
            router.remove_arm("local")
        router.remove_arm("b")

    def test_unknown_arm_is_refused(self):
        with pytest.raises(InvalidConfigurationError, match="names an unknown arm 'locl'"):
            Router(arms=["a", "local"], features=1, limits=Limits(rules=[Rule(when="true", arms=["locl"])]))
        with pytest.raises(InvalidConfigurationError, match="rules is"):
            Limits(rules="tag('private')")
