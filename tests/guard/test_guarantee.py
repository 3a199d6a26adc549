"""The account of what cascades lose against one arm."""

import math

import numpy as np
import pytest

from banditroute import InvalidConfigurationError, InvalidInputError, Router
from banditroute.guard import Guarantee
from banditroute.guard.guarantee import _SHARES, _STAKES, LossAccount, add_accounts


@pytest.mark.parametrize("difference", [-1.0, -0.4, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("share", _SHARES)
def test_wealth_is_a_martingale_whatever_the_difference_is(difference, share):
    account = LossAccount(max_loss=0.02, confidence=0.95)
    account.settle(difference, share)
    for stake, spent in zip(_STAKES, account.spent, strict=True):
        if (1.0 - share) * math.exp(stake) < 1.0:
            mean = share * math.exp(-spent) + (1.0 - share) * math.exp(stake * difference)
            assert mean == pytest.approx(1.0)


def run(*, gains, losses, requests, seed, turns_bad=None):
    """Return the mean loss of a run, the account, and audits from a change until the share of audits rose or was 1."""
    rng, account = np.random.default_rng(seed), LossAccount(max_loss=0.02, confidence=0.95)
    lost, at_change, noticed = 0.0, None, None
    for n in range(requests):
        if n == turns_bad:
            losses, at_change = 0.4, (account.audits, account.audit_share)
        u, share = rng.random(), account.audit_share
        difference = 1.0 if u < losses else -1.0 if u < losses + gains else 0.0
        account.deliver()
        if rng.random() < share:
            account.settle(difference, share)
        else:
            account.stop(share)
            lost += difference
        risen = at_change is not None and (account.audit_share > at_change[1] or account.audit_share == 1.0)
        if risen and noticed is None:
            noticed = account.audits - at_change[0]
    return lost / requests, account, noticed


@pytest.mark.parametrize(("gains", "losses"), [(0.05, 0.05), (0.0, 0.05), (0.02, 0.1), (0.0, 0.02)])
def test_loss_stays_below_the_bound(gains, losses):
    violated = [run(gains=gains, losses=losses, requests=1500, seed=seed)[0] > 0.02 for seed in range(40)]
    assert sum(violated) <= 2


def test_judge_that_turns_bad_is_noticed_and_the_bound_holds():
    runs = [run(gains=0.05, losses=0.03, requests=2000, seed=seed, turns_bad=1000) for seed in range(20)]
    assert max(lost for lost, _, _ in runs) <= 0.02
    assert all(noticed is not None and noticed <= 150 for _, _, noticed in runs)


def test_bound_covers_the_loss_at_all_times():
    for seed in range(20):
        lost, account, _ = run(gains=0.03, losses=0.04, requests=1000, seed=seed)
        assert lost <= account.assurance().loss_bound


def test_share_falls_only_with_evidence():
    account = LossAccount(max_loss=0.02, confidence=0.95)
    shares = []
    for _ in range(3000):
        shares.append(account.audit_share)
        account.deliver()
        account.settle(0.0, shares[-1])
    assert shares[:150] == [1.0] * 150
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.5
    account.settle(1.0, shares[-1])
    assert account.audit_share >= shares[-1]


def test_three_losses_in_a_row_have_every_stop_audited_again():
    account = LossAccount(max_loss=0.02, confidence=0.95)
    for _ in range(3000):
        account.deliver()
        account.settle(0.0, account.audit_share)
    assert account.audit_share < 0.5
    for _ in range(3):
        account.settle(1.0, account.audit_share)
    assert account.audit_share == 1.0


def test_pending_audit_counts_as_a_loss_until_it_is_settled():
    account = LossAccount(max_loss=0.02, confidence=0.95)
    before = account.bounds
    account.open("a", 0.5)
    assert all(now >= then for now, then in zip(account.bounds, before, strict=True))
    account.close("a", 0.0)
    assert account.bounds == pytest.approx(before)


def test_audits_needed_are_what_it_takes():
    account = LossAccount(max_loss=0.02, confidence=0.95)
    needed = account.assurance().audits_needed
    for _ in range(needed):
        assert account.audit_share == 1.0
        account.deliver()
        account.settle(0.0, 1.0)
    account.deliver()
    assert account.audit_share < 1.0


def test_accounts_of_processes_add_up():
    one, other = (LossAccount(max_loss=0.02, confidence=0.95) for _ in range(2))
    for account, difference in ((one, 1.0), (other, -1.0)):
        account.deliver()
        account.settle(difference, 0.95)
    together = LossAccount(max_loss=0.02, confidence=0.95)
    together.restore(add_accounts(one.news(), other.news()))
    assert (together.requests, together.audits) == (2, 2)
    assert together.spent == pytest.approx([a + b for a, b in zip(one.spent, other.spent, strict=True)])


@pytest.mark.parametrize("wrong", [{"max_loss": 0.0}, {"max_loss": 1.5}, {"confidence": 1.0}, {"best": ""}])
def test_unusable_guarantees_are_refused(wrong):
    with pytest.raises(InvalidConfigurationError):
        Guarantee(**wrong)


def test_router_refuses_a_guarantee_without_a_known_arm():
    with pytest.raises(InvalidConfigurationError, match="names no arm"):
        Router(arms=["a", "b"], features=1, guarantee=Guarantee())
    with pytest.raises(InvalidConfigurationError, match="unknown arm"):
        Router(arms=["a", "b"], features=1, guarantee=Guarantee(best="c"))
    assert Router(arms=["a", "b"], features=1, fallback="b", guarantee=Guarantee()).status().assurance.requests == 0


def test_a_difference_beyond_1_is_refused():
    with pytest.raises(InvalidInputError, match="difference"):
        LossAccount(max_loss=0.02, confidence=0.95).settle(1.5, 0.5)


def test_the_best_arm_of_a_guarantee_stays():
    for named in ({"guarantee": Guarantee(best="b")}, {"guarantee": Guarantee(), "fallback": "b"}):
        router = Router(arms=["a", "b", "c"], features=1, **named)
        with pytest.raises(InvalidConfigurationError, match="'b' is the best arm of the guarantee; it has to stay"):
            router.remove_arm("b")
        assert [arm.name for arm in router.arms] == ["a", "b", "c"]
