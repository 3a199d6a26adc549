"""After an answer: deliver it, or ask further arms, by expected utility with all calls charged."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from banditroute.core.decision import Decision
from banditroute.core.forking import hold_while_forking
from banditroute.core.request import Request
from banditroute.core.state import StateSlot
from banditroute.core.step import Step
from banditroute.core.validation import label, listed, probability, shown
from banditroute.errors import InvalidFeedbackError, InvalidRequestError
from banditroute.graders.evidence import Evidence
from banditroute.graders.signal import Signal
from banditroute.limits.constraints import Limits
from banditroute.router.audits import Audits
from banditroute.router.candidates import Candidates
from banditroute.router.engine import Engine
from banditroute.router.fallback import FallbackRouting
from banditroute.router.feedback import FeedbackService, check_id
from banditroute.router.foresight import Foresight
from banditroute.router.requests import NothingToAskError, Terms
from banditroute.router.sampling import RandomStream
from banditroute.router.status import Status
from banditroute.store.base import Store, StoredDecision

_WAITING_ANSWERS = 10_000  # whose quality may still be reported, or which may still be followed
_NOT_JUDGED = "answers cannot be judged: no weight on quality, other features, or an arm that was removed"
_GOOD_ENOUGH = "no further call is expected to be worth its price"
_WORTH_ASKING = "a further call is expected to be worth its price"
_NO_ARM = "no other arm may be asked: arms, limits and budgets left"
_BOUND = "the limits and budgets that are left allow no call of"
_AUDIT = "an audit for the guarantee"
_SAVED_EVERY = 20  # graded answers
_LEAST_PROBABILITY = 1e-12
_LEAST_EXPECTED = 0.02  # quality of an arm: signals cannot move an expectation of 0
_LEAST_STD = 1e-3  # of the weight of quality: choices nearer than that are drawn


@dataclass(slots=True)
class _Answer:
    """An answer that was seen: its decision, signals, and expected quality without these."""

    id: str
    arm: str
    tags: tuple[str, ...]
    signals: dict[str, float] = field(default_factory=dict)
    expected: float = 0.5
    graded: bool = False


@dataclass(slots=True)
class _Chain:
    """The calls of one request: its first decision, and the answers that were seen."""

    first: StoredDecision
    limits: Limits | None
    answers: list[_Answer] = field(default_factory=list)
    counted: bool = False  # by the guarantee


class _Seen(NamedTuple):
    """A request after an answer: what was asked, and how good the answers are expected to be.

    Attributes
    ----------
    latest, best
        Indices of the answer that was seen last, and of the one to deliver, in ``answers``.
    qualities, variances
        Expected quality of each answer given its signals, and the variance of the log odds that these add.
    predicted
        Expected quality of each arm, without signals.
    asked
        Position of the arm of each answer.
    keeps
        Whether an earlier answer can still be delivered after a later one was asked.
    """

    chain: _Chain
    answers: Sequence[_Answer]
    latest: int
    best: int
    qualities: Sequence[float]
    variances: Sequence[float]
    request: Request
    candidates: Candidates
    predicted: Sequence[float]
    asked: Sequence[int]
    keeps: bool


class Cascade:
    """Decides after each answer of a request whether to deliver one, or which arms to ask. Safe to use from threads.

    Parameters
    ----------
    store
        Finds the decision of an answer.
    engine
        Predicts the outcomes of every arm, and makes the decisions.
    routing, feedback
        Decide, and record what is known of answers that are not delivered.
    limits
        The limits of the router.
    slot
        Where the evidence of signals is stored.
    audits
        Keep the guarantee; None without one.
    stream
        Draws between stopping and asking, so that answers which look bad are delivered, and graded, now and then.
    clock
        Gives Unix time in seconds.
    """

    def __init__(
        self,
        *,
        store: Store,
        engine: Engine,
        routing: FallbackRouting,
        feedback: FeedbackService,
        limits: Limits | None,
        slot: StateSlot,
        audits: Audits | None,
        stream: RandomStream,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._engine = engine
        self._routing = routing
        self._feedback = feedback
        # The arms of a decision keep the rules already, which may be about what is not stored.
        self._limits = None if limits is None else replace(limits, rules=())
        self._slot = slot
        self.audits: Audits | None = audits
        self._stream = stream
        self._clock = clock
        self.evidence: Evidence = slot.load(Evidence.from_bytes)
        self._foresight = Foresight()
        self._chains: OrderedDict[str, _Chain] = OrderedDict()
        self._unsaved = 0
        self._lock = threading.RLock()
        hold_while_forking(self, "_lock")

    # After an answer.

    def next(
        self, decision: Decision | str, signals: Mapping[str, float | Signal | None], *, keeps: bool = True
    ) -> Step:
        """Return the next step of a request; see ``Router.next_step``.

        Parameters
        ----------
        keeps
            Whether an earlier answer can still be delivered after a later one was asked.
        """
        id = decision.id if isinstance(decision, Decision) else check_id(decision)
        known = check_signals(signals)
        served = self._store.find(id)
        with self._lock:  # never held while the store, which learns under a lock of its own, is called
            chain = self._follow(decision, served)
            answer = next(each for each in chain.answers if each.id == id)
            answer.signals = {**answer.signals, **known}
            self._foresight.note_step(self._engine.decided)
            self._engine.look_ahead_with(self._foresight)
            answers = list(chain.answers)
            evidence = [self.evidence.of(each.arm, each.tags, each.signals) for each in answers]
            draws = self._stream.generator.random(2).tolist()
        seen = self._judge(chain, answer, answers, evidence, keeps)
        if seen is None:
            return Step(next=None, answer=id, expected_quality=0.5, probability=1.0, reason=_NOT_JUDGED)
        return self._decide(seen, draws)

    def escalate(self, decision_id: str, signal: float) -> Decision | None:
        """Return a decision for another arm, or None if the answer is good enough; see ``Router.escalate``."""
        id, known = check_id(decision_id), probability(signal, name="signal", error=InvalidRequestError)
        return self.next(id, {"signal": known}, keeps=False).next

    def learn(self, decision_id: str, quality: float) -> None:
        """Learn the quality of an answer, if its signals are known here."""
        if not self._chains:
            return
        if self.audits is not None:
            self.audits.learn(decision_id, quality)
        with self._lock:
            chain = self._chains.get(decision_id)
            answer = None if chain is None else next((a for a in chain.answers if a.id == decision_id), None)
            if answer is None or answer.graded:
                return
            answer.graded = True
            self.evidence.learn(answer.arm, answer.tags, answer.signals, expected=answer.expected, quality=quality)
            self._unsaved += 1
            if self._unsaved < _SAVED_EVERY:
                return
            self._unsaved, blob = 0, self.evidence.to_bytes()
        self._slot.save(blob)

    def check_audit(self, decision_id: str, audit_of: object) -> None:
        """Raise InvalidFeedbackError if the decision is not the audit of ``audit_of``."""
        if self.audits is None:
            raise InvalidFeedbackError("audit_of is given, and the router has no guarantee; leave it out")
        self.audits.check(decision_id, audit_of)

    def complete(self, status: Status) -> Status:
        """Return the status with what is known of signals and of the guarantee."""
        assurance = None if self.audits is None else self.audits.assurance()
        return replace(status, signals=self.report(), assurance=assurance)

    def report(self) -> dict[str, dict[str, float]]:
        """Return how each signal does; see :meth:`Evidence.report`."""
        with self._lock:
            return self.evidence.report()

    # One step.

    def _follow(self, decision: Decision | str, served: StoredDecision) -> _Chain:
        """Return the chain of a decision, begun with it if it follows no other."""
        chain = self._chains.get(served.id)
        if chain is None:
            chain = _Chain(served, limits_of(decision, self._limits))
            self._append(chain, served)
        return chain

    def _append(self, chain: _Chain, decision: StoredDecision | Decision) -> None:
        chain.answers.append(_Answer(decision.id, decision.arm, tuple(decision.tags)))
        self._chains[decision.id] = chain
        if len(self._chains) > _WAITING_ANSWERS:
            self._chains.popitem(last=False)

    def _judge(
        self,
        chain: _Chain,
        answer: _Answer,
        answers: Sequence[_Answer],
        evidence: Sequence[tuple[float, float]],
        keeps: bool,
    ) -> _Seen | None:
        """Return the answers of a request with their expected qualities; None if these cannot be judged."""
        first = chain.first
        request = Request(
            features=np.zeros(0) if first.x is None else first.x[:-1],
            session=first.session,
            tags=first.tags,
            input_tokens=first.input_tokens,
            again=True,
        )
        candidates = self._engine.expect(first, request)
        weight = first.preference.get("quality", 0.0)
        if candidates is None or weight <= 0.0 or any(each.arm not in candidates.arms for each in answers):
            return None
        predicted = candidates.expected("quality").tolist()
        asked = [candidates.arms.index(each.arm) for each in answers]
        latest = answers.index(answer)
        answer.expected = predicted[asked[latest]]
        with self._lock:
            self._foresight.note_answer(answer.expected, evidence[latest][0])
        qualities = [given_signals(predicted[k], log_odds) for k, (log_odds, _) in zip(asked, evidence, strict=True)]
        variances = [variance for _, variance in evidence]
        best = max(range(len(answers)), key=qualities.__getitem__) if keeps else latest
        return _Seen(chain, answers, latest, best, qualities, variances, request, candidates, predicted, asked, keeps)

    def _decide(self, seen: _Seen, draws: Sequence[float]) -> Step:
        """Return whether to stop or to ask, which ``draws`` decide: uniform in [0, 1), one for that, one for audits."""
        best_arm = self._best_arm(seen)
        if best_arm in seen.asked:  # its answer is delivered, however the others look
            return self._stop(seen._replace(best=seen.asked.index(best_arm)))
        allowed = seen.chain.first.arms
        left = [k for k, arm in enumerate(seen.candidates.arms) if arm in allowed and k not in seen.asked]
        if not left:
            return self._stop(seen, reason=f"{_NO_ARM} {listed(allowed)} to this request")
        limits = self._limits_left(seen)
        stopping = _probability_of_stopping(seen, left)
        if draws[0] >= stopping:
            return self._ask(seen, left, limits, probability=1.0 - stopping)
        if self.audits is None or best_arm is None:
            return self._stop(seen, probability=stopping)
        if seen.predicted[best_arm] - seen.qualities[seen.best] > self.audits.max_loss:
            return self._ask(seen, [best_arm], limits, probability=stopping)
        return self._stop(seen, probability=stopping, limits=limits, draw=draws[1])

    def _best_arm(self, seen: _Seen) -> int | None:
        """Return the position of the guarantee's best arm, if it may serve the request."""
        if self.audits is None or self.audits.best not in seen.chain.first.arms:
            return None
        arms = seen.candidates.arms
        return arms.index(self.audits.best) if self.audits.best in arms else None

    def _ask(self, seen: _Seen, eligible: Sequence[int], limits: Limits | None, *, probability: float) -> Step:
        """Return a call of one of the eligible arms, or the stop if limits and budgets allow none."""
        arms = [seen.candidates.arms[k] for k in eligible]
        terms = Terms(seen.chain.first.preference, arms, limits)
        try:
            another = self._routing.decide(seen.request, terms)
        except NothingToAskError:
            return self._stop(seen, reason=f"{_BOUND} {listed(arms)}")
        with self._lock:
            self._append(seen.chain, another)
        self._feedback.record_step(seen.answers[seen.latest].id, stopped=False, probability=probability)
        of_best = seen.qualities[seen.best]
        if not seen.keeps:
            self._record_expected(seen.answers[seen.latest], of_best)
        return Step(
            next=another,
            answer=seen.answers[seen.best].id,
            expected_quality=of_best,
            probability=probability,
            reason=_WORTH_ASKING,
        )

    def _stop(
        self,
        seen: _Seen,
        *,
        probability: float = 1.0,
        reason: str = _GOOD_ENOUGH,
        limits: Limits | None = None,
        draw: float | None = None,
    ) -> Step:
        """Return the stop, or its audit; record its probability, and what is known of the other answers.

        Parameters
        ----------
        draw
            In [0, 1): decides whether the stop is audited, under a guarantee; None where it must be.
        """
        chain, best = seen.chain, seen.answers[seen.best]
        step = Step(
            next=None,
            answer=best.id,
            expected_quality=seen.qualities[seen.best],
            probability=probability,
            reason=reason,
        )
        if self.audits is not None and not chain.counted:
            chain.counted = True
            if best.arm == self.audits.best:
                self.audits.deliver()
            elif self.audits.best in chain.first.arms:
                step = self._audited(chain, step, seen.request, limits, draw)
        self._feedback.record_step(seen.answers[seen.latest].id, stopped=True, probability=step.probability)
        for each, quality in zip(seen.answers, seen.qualities, strict=True):
            if each.id not in (step.answer, step.audit_of):
                self._record_expected(each, quality)
        return step

    def _audited(self, chain: _Chain, step: Step, request: Request, limits: Limits | None, draw: float | None) -> Step:
        """Return the stop, or the audit that is drawn in its place."""
        assert self.audits is not None
        share = 1.0 if draw is None else self.audits.share
        if draw is not None and draw >= share:
            self.audits.stop(share)
            return replace(step, probability=max(step.probability * (1.0 - share), _LEAST_PROBABILITY))
        terms = Terms(chain.first.preference, [self.audits.best], limits)
        try:
            audit = self._routing.decide(request, terms)
        except NothingToAskError:
            self.audits.stop(1.0)
            return step
        self.audits.open(audit.id, step.answer, share)
        with self._lock:
            self._append(chain, audit)
        return replace(step, next=audit, probability=step.probability * share, reason=_AUDIT, audit_of=step.answer)

    def _record_expected(self, answer: _Answer, quality: float) -> None:
        """Record the expected quality of an answer that is not delivered, if it has signals and no grade."""
        if answer.signals and not answer.graded:
            self._feedback.record_expected_quality(answer.id, quality)

    def _limits_left(self, seen: _Seen) -> Limits | None:
        """Return the limits of the request less what its calls have taken."""
        limits = seen.chain.limits
        if limits is None or (limits.max_latency_seconds is None and limits.max_cost_usd is None):
            return limits
        seconds, usd = limits.max_latency_seconds, limits.max_cost_usd
        if seconds is not None:
            seconds = max(seconds - max(self._clock() - seen.chain.first.decided_at, 0.0), 1e-9)
        if usd is not None and "cost_usd" in seen.candidates.objectives:
            spent = float(seen.candidates.expected("cost_usd")[seen.asked].sum())
            usd = max(usd - max(spent, 0.0), 1e-12)
        return Limits(max_latency_seconds=seconds, max_cost_usd=usd, min_quality=None, requires=limits.requires)


def _probability_of_stopping(seen: _Seen, left: Sequence[int]) -> float:
    """Return how probable it is that no arm at ``left`` is worth its call."""
    weight, quality = seen.chain.first.preference["quality"], seen.qualities[seen.best]
    std = weight * (_LEAST_STD + quality * (1.0 - quality) * math.sqrt(seen.variances[seen.best]))
    return _normal_cdf((weight * quality - float(seen.candidates.utilities[left].max())) / std)


def limits_of(decision: Decision | str, limits: Limits | None) -> Limits | None:
    """Return the limits that hold over all calls of a request: the router's, tightened by the request's own."""
    if isinstance(decision, str) or (decision.deadline_seconds is None and decision.max_cost_usd is None):
        return limits
    own = Limits(max_latency_seconds=decision.deadline_seconds, max_cost_usd=decision.max_cost_usd)
    return own if limits is None else limits.tightened(own)


def check_signals(signals: object) -> dict[str, float]:
    """Return the signals whose value is known.

    Raises
    ------
    InvalidRequestError
        If it is not a mapping from names to numbers in [0, 1], graders' signals or None.
    """
    if not isinstance(signals, Mapping):
        raise InvalidRequestError(
            f"signals is {shown(signals)} ({type(signals).__name__}); give a mapping, for example {{'judge': 0.7}}"
        )
    known = {}
    for name, value in signals.items():
        label(name, name="a name in signals", error=InvalidRequestError)
        value = value.quality if isinstance(value, Signal) else value
        if value is not None:
            known[name] = probability(value, name=f"signal {name!r}", error=InvalidRequestError)
    return known


def given_signals(expected: float, log_odds: float) -> float:
    """Return the expected quality of an answer given its signals.

    Parameters
    ----------
    expected
        What was expected of its arm, in [0, 1].
    log_odds
        What the signals add.

    Examples
    --------
    >>> round(given_signals(0.5, 2.0), 2)
    0.88
    """
    share = min(max(expected, _LEAST_EXPECTED), 1.0 - _LEAST_EXPECTED)
    return share / (share + (1.0 - share) * math.exp(-log_odds))


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2.0))
