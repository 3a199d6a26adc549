"""The sessions of a router at work: their arms and prompt caches, the cost of a turn, and which arm may take it."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.forking import hold_while_forking
from banditroute.core.state import StateSlot
from banditroute.core.turn import SessionTurn, TurnCosts
from banditroute.sessions.counts import SessionCounts, added, from_bytes, to_bytes
from banditroute.sessions.horizon import Horizon
from banditroute.sessions.memory import Call, OpenCall, Probabilities, Session
from banditroute.sessions.warmth import Warmth

_MAX_SESSIONS = 10_000
_MAX_OPEN_CALLS = 10_000  # whose cached tokens are awaited
_FRESH_DRAWS = 0.1  # share of the turns that draw from the policy's probabilities, whatever the turn before
_UNSAVED_TURNS = 256  # that are counted before they are stored
_LIVE_SECONDS = 300.0  # of a cache whose time to live is not known


class Turn(NamedTuple):
    """One turn that is being decided.

    Attributes
    ----------
    session, now, tokens
        The session's key, the time in Unix seconds, and the tokens of the prompt.
    prefix_tokens
        Tokens of the previous prompt; all of this one at the first turn.
    number, known
        The number of the turn, from 1, and whether this process knows an earlier one.
    turns_to_come
        Expected number of turns after this one.
    warm
        Arm -> probability that its cache still holds the prefix.
    extra_usd : (2, K)
        First, what each arm's input is expected to cost more than at its list price; below 0 where a warm cache saves.
        Second, at most 0: the part of what a cold cache costs once that is left to the later turns that the arm is
        expected to serve.
    keep
        Position of the arm that must take the turn, since it called the tool; None: any may.
    """

    session: str
    now: float
    tokens: float
    prefix_tokens: float
    number: int
    known: bool
    turns_to_come: float
    warm: Mapping[str, float]
    extra_usd: Vector
    keep: int | None


class SessionBook:
    """Remembers sessions, prices their turns by the state of the prompt caches, and learns from cached tokens.

    Not thread-safe: the engine holds a lock. It never reads a database: what other processes know arrives by
    ``follow_turns`` and ``follow_counts``.

    Parameters
    ----------
    arms
        The arms of the router.
    max_switch_spend
        How much more a session may be expected to spend than if its first arm served every turn, as a share;
        None: no bound.
    slot
        Where the counts are stored.
    """

    def __init__(self, *, arms: Sequence[Arm], max_switch_spend: float | None, slot: StateSlot) -> None:
        self._max_switch_spend = max_switch_spend
        self._slot = slot
        self.sessions: OrderedDict[str, Session] = OrderedDict()
        self._open: OrderedDict[str, OpenCall] = OrderedDict()
        self._unsaved_turns = 0
        self._use(slot.load(from_bytes))
        self.set_arms(arms)
        hold_while_forking(self)

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Price these arms from now on."""
        self._names = tuple(arm.name for arm in arms)
        self._position = {arm.name: k for k, arm in enumerate(arms)}
        cached = [arm.cached_input_usd_per_million_tokens is not None for arm in arms]
        self._cached = cached
        self._providers = [arm.provider or arm.name for arm in arms]
        self._live_seconds = [arm.cache_seconds or _LIVE_SECONDS for arm in arms]
        self._min_tokens = [float(arm.cache_min_tokens or 0) for arm in arms]
        self._largest_min_tokens = max(self._min_tokens)
        listed = np.array([arm.input_usd_per_million_tokens or 0.0 for arm in arms]) / 1e6
        write = np.array(
            [_or(arm.cache_write_usd_per_million_tokens, arm.input_usd_per_million_tokens) for arm in arms]
        )
        read = np.array(
            [_or(arm.cached_input_usd_per_million_tokens, arm.input_usd_per_million_tokens) for arm in arms]
        )
        self._saved_by_reading = np.where(cached, (write - read) / 1e6, 0.0)
        self._usd_per_token = np.array([np.where(cached, write / 1e6 - listed, 0.0), self._saved_by_reading])
        self._tokens = np.zeros((2, 1))  # that these count for, filled in for each turn
        self._saved_per_token: list[float] = self._saved_by_reading.tolist()

    @property
    def active(self) -> bool:
        """True if any arm has cache prices, or switches have a budget."""
        return self._max_switch_spend is not None or any(self._cached)

    @property
    def bounds_switches(self) -> bool:
        """True if switches have a budget."""
        return self._max_switch_spend is not None

    # One turn.

    def begin(self, session: str, tokens: float, now: float, *, continues: bool) -> Turn:
        """Return the turn that a request begins: what the input costs at every arm, and which arm must take it.

        An arm's cache is warm with the probability that was learned for its provider after so long an idle time. A warm
        cache is read; all else is written, or paid as fresh input where writing has no price of its own.

        Parameters
        ----------
        tokens
            Tokens of this prompt.
        continues
            Whether the last message brings the result of a tool.
        """
        known = self.sessions.get(session)
        if known is not None and known.turn == 0:
            known = None
        prefix, number = tokens, 1
        warm: dict[str, float] = {}
        if known is not None:
            number = known.turn + 1
            if (latest := known.calls.get(known.last_arm)) is not None:
                prefix = latest.held(tokens)
        to_come, lasting = self.horizon.ahead(number)
        once = lasting / (1.0 + lasting)  # the share of a switch's price that later turns bear
        self._tokens[0, 0], self._tokens[1, 0] = tokens, -once * prefix
        extra_usd = self._usd_per_token * self._tokens
        if prefix < self._largest_min_tokens:
            extra_usd[:, [k for k, least in enumerate(self._min_tokens) if prefix < least]] = 0.0
        if known is not None:
            for arm, call in known.calls.items():
                k = self._position.get(arm)
                if k is None or not self._cached[k]:
                    continue
                held = call.held(tokens)
                if held < self._min_tokens[k]:
                    continue
                idle = now - call.at if now > call.at else 0.0
                warm[arm] = p = self.warmth.probability(self._providers[k], idle, self._live_seconds[k])
                read = self._saved_per_token[k] * held * p
                extra_usd[0, k] -= read
                extra_usd[1, k] += read * once
        keep = self._position.get(known.last_arm) if continues and known is not None else None
        return Turn(session, now, tokens, prefix, number, known is not None, to_come, warm, extra_usd, keep)

    def redrawn(self, turn: Turn, policy: Probabilities) -> Vector:
        """Return the probabilities ``(K,)`` with which a session goes on, given the policy's and its last arm.

        A session draws again only as far as the policy's probabilities have changed since its last turn. With ``p``
        and ``q`` the probabilities before and now, it leaves its arm ``j`` with probability ``1 - q_j / p_j``, if that
        is above 0, for arms that gained, in proportion to their gain: the maximal coupling of ``p`` and ``q``. So
        exploration changes sessions, and not every turn within one. A tenth of the turns draw from the policy's
        probabilities all the same, so that every arm keeps its chance.
        """
        arms, probabilities = policy
        session = self.sessions.get(turn.session)
        before = None if session is None else session.policy
        if session is None or before is None or session.last_arm not in arms or session.last_arm not in before.arms:
            return probabilities
        last = arms.index(session.last_arm)
        now, earlier = probabilities.item(last), before.values.item(before.arms.index(session.last_arm))
        if now == 1.0:
            return probabilities
        mixed: Vector = probabilities * _FRESH_DRAWS
        if now >= earlier:
            mixed[last] += 1.0 - _FRESH_DRAWS
            return mixed
        known = dict(zip(before.arms, before.values.tolist(), strict=True))
        gains = [max(p - known.get(arm, 0.0), 0.0) for arm, p in zip(arms, probabilities.tolist(), strict=True)]
        total = math.fsum(gains)
        left = 1.0 - now / earlier if total > 0.0 else 0.0
        if left:
            mixed += np.array(gains) * ((1.0 - _FRESH_DRAWS) * left / total)
        mixed[last] += (1.0 - _FRESH_DRAWS) * (1.0 - left)
        return np.minimum(mixed, 1.0, out=mixed)  # a sum may be beyond it by rounding

    def _session(self, key: str) -> Session:
        """Return a session, a new one if it is not known."""
        session = self.sessions.get(key)
        if session is not None:
            self.sessions.move_to_end(key)
        else:
            session = self.sessions[key] = Session()
            if len(self.sessions) > _MAX_SESSIONS:
                self.sessions.popitem(last=False)
        return session

    def vetoed(self, turn: Turn, cost_usd: Vector, positions: Sequence[int]) -> list[int]:
        """Return those of ``positions`` that the switch budget rules out, never all of them.

        An arm is ruled out if the session would have spent more than ``1 + max_switch_spend`` times what its first arm
        alone would have cost. That counts this turn. For an arm whose turns cost more than the first arm's even with
        warm caches, it also counts the way back: the first arm's cache would have to be written again.

        Parameters
        ----------
        cost_usd
            Expected cost of this turn at every arm ``(K,)``, with the caches as they are.
        """
        known = self.sessions.get(turn.session)
        if self._max_switch_spend is None or known is None or known.turn == 0:
            return []
        first = self._position.get(known.first_arm)
        if first is None:
            return []
        stayed = known.stayed_usd + self._cost_of_staying(turn, known, first, cost_usd)
        most = (1.0 + self._max_switch_spend) * stayed - known.spent_usd
        cold = [1.0 - turn.warm.get(name, 0.0) for name in self._names]
        usual_usd = cost_usd - self._saved_by_reading * turn.prefix_tokens * np.array(cold)
        back_usd = np.where(usual_usd > usual_usd[first], self._saved_by_reading[first] * turn.tokens, 0.0)
        over = [k for k in positions if cost_usd[k] + back_usd[k] > most]
        if len(over) == len(positions):
            over.remove(min(over, key=lambda k: float(cost_usd[k])))
        return over

    def _cost_of_staying(self, turn: Turn, known: Session, first: int, cost_usd: Vector) -> float:
        """Return what this turn would cost if the session's first arm had served every turn."""
        latest = known.calls.get(known.last_arm)
        if latest is None or not self._cached[first] or turn.prefix_tokens < self._min_tokens[first]:
            return float(cost_usd[first])
        idle = max(turn.now - latest.at, 0.0)
        p = self.warmth.probability(self._providers[first], idle, self._live_seconds[first])
        saved = float(self._saved_by_reading[first])
        own = known.calls.get(known.first_arm)
        held = 0.0 if own is None else own.held(turn.tokens)
        read = saved * held * turn.warm.get(known.first_arm, 0.0)
        return float(cost_usd[first]) + read - saved * turn.prefix_tokens * p

    def note(
        self,
        turn: Turn,
        decision_id: str,
        arm: str,
        cost_usd: Vector | None,
        vetoed: Mapping[str, float],
        *,
        policy: Probabilities | None,
        again: bool,
    ) -> TurnCosts:
        """Remember who serves a turn, and return what ``explain()`` shows of it.

        Parameters
        ----------
        policy
            The policy's probabilities at this turn, before ``redrawn``.
        again
            Whether this is a further call for the same turn.
        """
        session = self._session(turn.session)
        session.policy = policy
        if arm in turn.warm:
            self._await_cached_tokens(turn, decision_id, arm, session.calls[arm])
        if self._max_switch_spend is not None and cost_usd is not None:
            first = self._position.get(session.first_arm)
            cost = float(cost_usd[self._position[arm]])
            session.spent_usd += cost
            session.stayed_usd += cost if first is None else self._cost_of_staying(turn, session, first, cost_usd)
        if not again:
            self._count(session.turn, kept=arm == session.last_arm)
            session.turn += 1
            session.first_arm = session.first_arm or arm
        session.last_arm = arm
        session.called(arm, Call(turn.tokens, turn.now))
        return TurnCosts(
            turn.number,
            turn.known,
            turn.tokens,
            turn.prefix_tokens,
            turn.turns_to_come,
            self._names,
            cost_usd,
            turn.warm,
            vetoed,
        )

    def _await_cached_tokens(self, turn: Turn, decision_id: str, arm: str, call: Call) -> None:
        """Wait for the feedback of a call that should find its prefix in the cache."""
        k = self._position[arm]
        held = call.held(turn.tokens)
        idle = max(turn.now - call.at, 0.0)
        self._open[decision_id] = OpenCall(self._providers[k], idle, self._live_seconds[k], held)
        if len(self._open) > _MAX_OPEN_CALLS:
            self._open.popitem(last=False)

    def _count(self, previous_turn: int, *, kept: bool) -> None:
        if previous_turn:
            self.horizon.follow(previous_turn, kept=kept)
        self.horizon.reach(previous_turn + 1)
        self._save_sometimes()

    # What is learned, and what other processes know.

    def observe(self, decision_id: str, cached_tokens: float) -> None:
        """Learn how much of its prefix a call found in the provider's cache."""
        call = self._open.pop(decision_id, None)
        if call is None or call.prefix_tokens <= 0.0:
            return
        share = min(cached_tokens / call.prefix_tokens, 1.0)
        self.warmth.add(call.provider, call.idle_seconds, call.live_seconds, share=share)
        self._save_sometimes()

    def follow_turns(self, turns: Sequence[SessionTurn]) -> None:
        """Take over turns that other processes have served."""
        for each in turns:
            session = self.sessions.setdefault(each.session, Session())
            known = session.calls.get(session.last_arm)
            if known is not None and each.decided_at <= known.at:
                continue
            session.turn += 1
            session.first_arm = session.first_arm or each.arm
            session.last_arm = each.arm
            tokens = float("nan") if each.input_tokens is None else float(each.input_tokens)
            session.called(each.arm, Call(tokens, each.decided_at))
            while len(self.sessions) > _MAX_SESSIONS:
                self.sessions.popitem(last=False)

    def follow_counts(self, blob: bytes | None) -> None:
        """Take over what all processes have counted, and keep what this one has not stored yet."""
        own = self._unsaved()
        self._use(StateSlot(name=self._slot.name, stored=blob).load(from_bytes))
        self.warmth.include(own.warmth)
        self.horizon.include(own.horizon)

    def begin_in_child(self) -> None:
        """Leave what is not stored yet to the parent process, so that it counts once."""
        self._use(SessionCounts(self.warmth, self.horizon))
        self._unsaved_turns = 0

    def close(self) -> None:
        """Store what is not stored yet."""
        if self._unsaved_turns:
            self._save()

    def _save_sometimes(self) -> None:
        self._unsaved_turns += 1
        if self._unsaved_turns >= _UNSAVED_TURNS:
            self._save()

    def _save(self) -> None:
        self._slot.save(to_bytes(self._unsaved()), added)
        self._stored = SessionCounts(self.warmth, self.horizon).copy()
        self._unsaved_turns = 0

    def _use(self, counts: SessionCounts) -> None:
        """Count on from these counts, which are stored."""
        self.warmth: Warmth = counts.warmth
        self.horizon: Horizon = counts.horizon
        self._stored = SessionCounts(self.warmth, self.horizon).copy()

    def _unsaved(self) -> SessionCounts:
        """Return what was counted since the last time that it was stored."""
        return SessionCounts(self.warmth, self.horizon).less(self._stored)


def _or(price: float | None, otherwise: float | None) -> float:
    return (otherwise or 0.0) if price is None else price
