"""The monitor of a rollout: mixes learner and baseline, and judges the learner by the outcomes."""

from __future__ import annotations

import json
import logging
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.state import StateSlot, read_state
from banditroute.core.token_costs import TokenCosts
from banditroute.guard.evidence import GainBounds, paired_gain, utility_of
from banditroute.guard.guard import Guard, Mode, Rollout

_MAX_OPEN = 10_000  # decisions whose outcome is awaited; older ones are forgotten
_ALONE = " of 1"  # ends the name of an outcome given to a decision that stands for itself alone
_log = logging.getLogger("banditroute")


class Mixed(NamedTuple):
    """The mixture that serves a request, and its parts: probabilities of the K eligible arms, each ``(K,)``."""

    probabilities: Vector
    learner: Vector
    baseline: Vector


class _Open(NamedTuple):
    weight: float
    below: float
    above: float
    worth: Mapping[str, float]
    by_tokens: TokenCosts | None
    values: dict[str, float]


class RolloutMonitor:
    """Mixes learner and baseline, and judges the learner. Not thread-safe: the engine holds a lock.

    The state is in two pieces: the rollout, written when it changes, and the evidence of this process, written with
    every outcome; so evidence never overwrites what another process has decided.

    Parameters
    ----------
    guard
        Its settings.
    utility_range
        The least and the most utility of a request.
    slot, evidence_slot
        Where the rollout is kept, and the evidence of this process.

    Raises
    ------
    IncompatibleStoreError
        If what is kept is damaged.
    """

    def __init__(
        self,
        *,
        guard: Guard,
        utility_range: tuple[float, float],
        slot: StateSlot,
        evidence_slot: StateSlot,
    ) -> None:
        self._guard = guard
        self._low, self._high = utility_range
        self._settings = f"{guard!r} {utility_range!r}"
        self._mixture = guard.mixture
        self._slot, self._evidence_slot = slot, evidence_slot
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._mode: Mode = guard.mode
        self._rung, self._begun = 0, 1
        self._since: float | None = None
        self._bounds = self._new_bounds()
        slot.load(self.follow)
        evidence_slot.load(self._restore)

    def _restore(self, evidence: bytes | None) -> None:
        kept = json.loads(evidence or b"{}")
        if kept.get("of") == self._of:
            self._bounds.restore(kept["bounds"])

    def baseline(self, arms: Sequence[str]) -> Vector | None:
        """Return the baseline's probabilities of the eligible ``arms (K,)``; None if it has none of them."""
        shares = np.array([self._mixture.get(arm, 0.0) for arm in arms])
        total = shares.sum()
        return shares / total if total > 0.0 else None

    def mix(self, learner: Vector, baseline: Vector) -> tuple[Mixed, str]:
        """Return the mixture that serves a request, and the reason."""
        share = self._share
        if self._mode == "observe":
            learner = np.where(baseline > 0.0, learner, 0.0)
            tried = learner.sum()
            learner = learner / tried if tried > 0.0 else baseline
        mixed = baseline if share == 0.0 else (1.0 - share) * baseline + share * learner
        why = f"the learner decides {share:.4g} of the requests" if self._mode == "apply" else f"mode {self._mode}"
        return Mixed(mixed, learner, baseline), f"guard: {why}"

    def enter(
        self,
        id: str,
        chosen: int,
        mixed: Mixed,
        predicted: Vector,
        worth: Mapping[str, float],
        by_tokens: TokenCosts | None,
    ) -> None:
        """Wait for the outcome of decision ``id`` for the ``chosen``-th of K arms.

        Parameters
        ----------
        predicted
            Expected utility of each ``(K,)``.
        worth, by_tokens
            As in :func:`~banditroute.guard.evidence.utility_of`.
        """
        if self._mode == "bypass" or self._share == 1.0:
            return  # nothing is compared
        if self._mode == "observe" and np.count_nonzero(mixed.baseline) == 1:
            return  # nor is an arm with itself
        gain = paired_gain(
            mixed.learner,
            mixed.baseline,
            mixed.probabilities,
            predicted,
            low=self._low,
            high=self._high,
            truncation=self._truncation,
        )
        weight, below, above = (float(each[chosen]) for each in gain)
        self._open[id] = _Open(weight, below, above, worth, by_tokens, {})
        if len(self._open) > _MAX_OPEN:
            self._open.popitem(last=False)

    def report(self, id: str, values: Mapping[str, float], now: float) -> None:
        """Count new outcomes of decision ``id``, reported ``now``, as evidence."""
        entry = self._open.get(id)
        if entry is None:
            return
        # Without what a signal said of an answer that was escalated, only answers that looked good would be evidence.
        entry.values.update({name.removesuffix(_ALONE): value for name, value in values.items()})
        utility = utility_of(entry.worth, entry.values, entry.by_tokens)
        if utility is None:
            return
        del self._open[id]
        utility = min(max(utility, self._low), self._high)
        self._bounds.add(entry.weight * utility + entry.below, entry.weight * utility + entry.above)
        self._judge(now)
        kept = {"of": self._of, "bounds": self._bounds.to_dict()}
        self._evidence_slot.save(json.dumps(kept).encode())

    def set_mode(self, mode: Mode, now: float) -> None:
        """Restart in ``mode``, at the first share."""
        self._mode = mode
        self._restart(0, now)

    def follow(self, rollout: bytes | None) -> None:
        """Adopt the stage that another process with the same guard has stored since."""
        kept = json.loads(rollout or b"{}")
        if kept.get("settings") != self._settings:
            return
        if self._since is not None and kept["since"] <= self._since:
            if kept["since"] < self._since:  # written by one that did not know yet
                self._keep()
            return
        self._mode, self._rung, self._begun, self._since = (kept[name] for name in ("mode", "rung", "begun", "since"))
        self._open.clear()
        self._bounds = self._new_bounds()

    def rollout(self) -> Rollout:
        """Return how far the learner is rolled out."""
        return Rollout(
            mode=self._mode,
            share=self._share,
            since=self._since,
            decisions=self._bounds.n,
            lower=self._bounds.lower,
            upper=self._bounds.upper,
        )

    @property
    def _share(self) -> float:
        return self._guard.shares[self._rung] if self._mode == "apply" else 0.0

    @property
    def _truncation(self) -> float:
        """Half the largest weight of an outcome, so that most predictions are kept."""
        share = self._share
        least = min(share, 1.0 - share) if self._mode == "apply" else min(self._mixture.values())
        return 0.5 / least if least > 0.0 else 0.0

    def _judge(self, now: float) -> None:
        if self._mode != "apply":
            return
        share, shares, tolerance = self._share, self._guard.shares, self._guard.tolerance
        lower, upper = self._bounds.lower, self._bounds.upper
        if self._rung > 0 and share * upper < -tolerance:
            _log.warning("the guard rolls the learner back: its gain is at most %.4g at a share of %.4g", upper, share)
            self._restart(0, now)
        elif share < shares[-1] and shares[self._rung + 1] * lower > -tolerance:
            _log.info("the guard promotes the learner: its gain is at least %.4g at a share of %.4g", lower, share)
            self._restart(self._rung + 1, now)

    def _restart(self, rung: int, now: float) -> None:
        if self._since is not None and now <= self._since:  # a clock was set back; the latest stage stays the latest
            now = math.nextafter(self._since, math.inf)
        self._rung, self._begun, self._since = rung, self._begun + 1, now
        self._open.clear()
        self._bounds = self._new_bounds()
        self._keep()

    def _keep(self) -> None:
        kept = {"mode": self._mode, "rung": self._rung, "begun": self._begun, "since": self._since}
        self._slot.save(json.dumps({"settings": self._settings, "share": self._share, **kept}).encode(), _latest)

    @property
    def _of(self) -> list[object]:
        """The rollout that the evidence belongs to."""
        return [self._settings, self._begun, self._since]

    def _new_bounds(self) -> GainBounds:
        return GainBounds(
            unit=self._high - self._low,
            alpha=self._guard.alpha / (self._begun * (self._begun + 1)),
            truncation=self._truncation,
        )


def _latest(earlier: bytes, later: bytes) -> bytes:
    """Return the stage that began last, of two that processes with the same guard have stored."""
    try:
        one, other = json.loads(earlier), json.loads(later)
        return earlier if one["settings"] == other["settings"] and one["since"] > other["since"] else later
    except (ValueError, TypeError, KeyError):  # the first one is damaged
        return later


def recorded_stage(blob: bytes) -> tuple[str, float] | None:
    """Return mode and share of the learner in a router's stored state ``guard``.

    None if the guard never changed its stage, or an earlier version wrote the state.

    Raises
    ------
    IncompatibleStoreError
        If the state is damaged.
    """

    def read(blob: bytes) -> tuple[str, float] | None:
        kept = json.loads(blob)
        return (kept["mode"], float(kept["share"])) if "share" in kept else None

    return read_state("guard", blob, read)


def recorded_evidence(blob: bytes) -> tuple[int, float, float]:
    """Return number of outcomes, lower and upper bound of the gain in a router's stored state ``guard_evidence``.

    Raises
    ------
    IncompatibleStoreError
        If the state is damaged.
    """

    def read(blob: bytes) -> tuple[int, float, float]:
        bounds = GainBounds(unit=1.0, alpha=0.05, truncation=0.0)  # replaced by what is stored
        bounds.restore(json.loads(blob)["bounds"])
        return bounds.n, bounds.lower, bounds.upper

    return read_state("guard_evidence", blob, read)
