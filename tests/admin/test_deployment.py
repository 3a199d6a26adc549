"""Changes that are made once and followed by every process."""

import time

import pytest
from click.testing import CliRunner

from banditroute import Arm, LinUCB, Router, admin
from banditroute.cli import main
from banditroute.errors import InvalidConfigurationError, StoreError
from banditroute.guard import Guard
from banditroute.limits import Share
from banditroute.router.assembly import parts_of
from banditroute.store import SQLStore
from tests.support import wait_until


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/routes.db"


def open_router(url, **settings):
    return Router(arms=["a", "b"], features=1, store=SQLStore(url), seed=0, **settings)


def names(router):
    return [arm.name for arm in router.arms]


def test_running_routers_follow_and_later_ones_begin_with_it(url):
    with open_router(url) as one, open_router(url) as other:
        admin.set_traffic(url, "b", at_most=0.1, who="me")
        admin.add_arm(url, Arm(name="c", replaces="b"), who="me")
        wait_until(lambda: all("c" in names(router) for router in (one, other)))
        for router in (one, other):
            assert parts_of(router).registry.traffic == {"b": Share(at_most=0.1)}
            decision = router.route([0.5])
            assert decision.probabilities[decision.arms.index("b")] <= 0.1 + 1e-12
        admin.remove_arm(url, "a", who="me")
        wait_until(lambda: names(one) == names(other) == ["b", "c"])
    with open_router(url) as later:
        assert names(later) == ["b", "c"]
        assert parts_of(later).registry.traffic == {"b": Share(at_most=0.1)}


def test_change_is_recorded_with_who_and_when(url):
    with open_router(url):
        before = time.time()
        admin.set_traffic(url, "b", at_least=0.05, at_most=0.2, who="ops@host")
        admin.set_traffic(url, "b", at_most=0.3)
    first, second = admin.shared_changes(url)
    assert (first.number, first.who, first.kind, first.subject) == (1, "ops@host", "traffic", "b")
    assert before <= first.at <= time.time()
    assert "@" in second.who
    with open_router(url) as router:
        assert parts_of(router).registry.traffic == {"b": Share(at_least=0.05, at_most=0.3)}


def test_guard_is_switched_once_and_stays(url):
    with open_router(url, guard=Guard(baseline="a")) as one, open_router(url, guard=Guard(baseline="a")) as other:
        admin.set_guard_mode(url, "bypass")
        wait_until(lambda: all(router.status().rollout.mode == "bypass" for router in (one, other)))
        one.set_guard_mode("apply")
    with open_router(url, guard=Guard(baseline="a")) as later:
        assert later.status().rollout.mode == "apply"


def test_guard_is_switched_while_no_router_runs(url):
    with open_router(url, guard=Guard(baseline="a")):
        pass
    admin.set_guard_mode(url, "bypass")
    with open_router(url, guard=Guard(baseline="a")) as later:
        assert later.status().rollout.mode == "bypass"
        assert {later.route([0.5]).arm for _ in range(20)} == {"a"}


def test_change_that_cannot_be_followed_is_logged_and_the_next_is_followed(url, caplog):
    with open_router(url) as router:
        admin.remove_arm(url, "a")
        admin.remove_arm(url, "b")
        admin.set_traffic(url, "nobody", at_most=0.1)
        admin.add_arm(url, Arm(name="c"))
        wait_until(lambda: names(router) == ["b", "c"])
        assert router.route([0.5]).arm in ("b", "c")
    assert "'b' is the last arm" in caplog.text
    assert "unknown arm 'nobody'" in caplog.text


def test_dry_run_shows_expected_shares_and_changes_nothing(url):
    with open_router(url) as router:
        for _ in range(50):
            router.route([0.5])
        router.flush()
        pmf = [sum(router.preview([0.5]).probabilities) for _ in range(1)]
        assert pmf == pytest.approx([1.0])
        shown = admin.set_traffic(url, "b", at_most=0.1, dry_run=True)
        assert shown.decisions == 50
        assert sum(shown.before.values()) == pytest.approx(1.0)
        assert shown.after == pytest.approx({"a": 0.9, "b": 0.1})
        assert admin.remove_arm(url, "b", dry_run=True).after == pytest.approx({"a": 1.0, "b": 0.0})
        assert admin.shared_changes(url) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda url: admin.set_traffic(url, "b"),
        lambda url: admin.set_traffic(url, "b", at_most=1.5),
        lambda url: admin.set_traffic(url, "b", at_least=0.5, at_most=0.1),
        lambda url: admin.set_guard_mode(url, "off"),
    ],
)
def test_change_that_nobody_could_follow_is_refused(url, change):
    with open_router(url), pytest.raises(InvalidConfigurationError):
        change(url)
    assert admin.shared_changes(url) == []


def test_unknown_router_is_refused(url):
    with open_router(url), pytest.raises(StoreError, match="no router 'other'"):
        admin.set_traffic(url, "b", at_most=0.1, router="other")


def test_command_set_guard_and_arms_record_a_deployment(url):
    def invoke(*arguments):
        return CliRunner().invoke(main, arguments)

    with open_router(url) as router:
        router.route([0.5])
        router.flush()
        shown = invoke("set", url, "traffic.b=0.25", "--dry-run")
        assert "nothing is changed" in shown.output
        assert "25.0%" in shown.output
        assert "recorded" in invoke("set", url, "traffic.b.at_most=0.25").output
        assert "recorded" in invoke("arms", "add", url, "c", "--replaces", "b").output
        assert "recorded" in invoke("arms", "remove", url, "a").output
        assert "recorded" in invoke("guard", url, "bypass").output
        assert "is not of the form" in invoke("set", url, "traffic.b=much").stderr
        lines = invoke("arms", "changes", url).output.splitlines()
        assert [line.split("  ")[-1].strip() for line in lines] == [
            "traffic b at_most=0.25",
            "add_arm c replaces=b",
            "remove_arm a",
            "guard bypass",
        ]
        wait_until(lambda: names(router) == ["b", "c"])


def test_command_promotes_the_challenger_and_shows_who_did(url):
    with open_router(url, challenger=LinUCB()):
        pass
    dry = CliRunner().invoke(main, ["promote", url, "--dry-run"])
    assert (dry.exit_code, "nothing is changed" in dry.output) == (0, True)
    assert admin.shared_changes(url) == []
    assert CliRunner().invoke(main, ["promote", url, "--who", "ops@host"]).exit_code == 0
    listed = CliRunner().invoke(main, ["arms", "changes", url]).output
    assert "ops@host  promote LinUCB(" in listed
