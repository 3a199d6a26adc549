"""After an answer of a routed client: grade it, and deliver it or ask further arms, by ``router.next_step()``."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from banditroute.core.decision import Decision
from banditroute.core.step import Step
from banditroute.core.validation import label, probability, shown
from banditroute.errors import InvalidConfigurationError
from banditroute.graders.signal import Signal
from banditroute.integrations.answer import Answer
from banditroute.integrations.io import Io

Grader: TypeAlias = Callable[[Answer], Any]
"""Answer -> how good it is, in [0, 1], as a number or a ``Signal``; None if it is not known."""

_log = logging.getLogger("banditroute")


class Steps:
    """Looks at each answer, and asks further arms as long as that is expected to be worth their price.

    Trouble after an answer is logged and never costs it: a grader that raises has no opinion, and if a further call
    fails, the best answer so far is delivered.

    Parameters
    ----------
    io
        Reports to the router, and calls the graders.
    graders
        Name of a signal -> its grader, for every answer.
    quality
        Grades the answers that are delivered, and both answers of an audit; None if the application reports them.
    """

    def __init__(self, *, io: Io, graders: Mapping[str, Grader], quality: Grader | None) -> None:
        self._io = io
        self._graders = dict(graders)
        self._quality = quality

    async def follow(self, answer: Answer, ask: Callable[[Decision], Awaitable[Answer]]) -> Answer:
        """Return the answer to deliver, with the others in ``others``; ``ask`` calls an arm and reports the call."""
        given = {answer.decision_id: answer}
        delivered, audit_of = answer, None
        while (step := await self._next(answer)) is not None:
            delivered = given.get(step.answer, answer)
            if step.next is None:
                break
            try:
                answer = await ask(step.next)
            except Exception as error:  # it is reported; an answer is at hand
                _log.warning("a further call of arm %r failed; an earlier answer is given: %s", step.next.arm, error)
                break
            given[answer.decision_id] = delivered = answer
            if step.audit_of is not None:
                audit_of = step.audit_of if answer.decision_id == step.next.id else None
                break
        others = tuple(each for each in given.values() if each is not delivered)
        if self._quality is not None:
            await self.report_quality(delivered, audit_of)
            if audit_of is not None:
                await self.report_quality(given[audit_of])
        return replace(delivered, others=others, audit_of=audit_of)

    async def _next(self, answer: Answer) -> Step | None:
        """Return the next step; None if the router gives none."""
        signals = {name: await self._graded(name, grader, answer) for name, grader in self._graders.items()}
        try:
            return await self._io.next_step(answer.decision, signals)
        except Exception as error:
            _log.error("decision %s has no next step, and its answer is given: %s", answer.decision_id, error)
            return None

    async def report_quality(self, answer: Answer, audit_of: str | None = None) -> None:
        """Grade an answer, and report its quality."""
        assert self._quality is not None
        quality = await self._graded("quality", self._quality, answer)
        if quality is None:
            return
        outcomes = {"quality": quality, "source": "grader"}
        try:
            await self._io.feedback(
                answer.decision_id, outcomes if audit_of is None else {**outcomes, "audit_of": audit_of}
            )
        except Exception as error:
            _log.error("the quality of decision %s could not be recorded: %s", answer.decision_id, error)

    async def _graded(self, name: str, grader: Grader, answer: Answer) -> float | None:
        """Return what a grader says of an answer; None if it does not know, raises, or gives something else."""
        try:
            found = await self._io.call(partial(grader, answer), {})
            found = found.quality if isinstance(found, Signal) else found
            return None if found is None else probability(found, name=f"grader {name!r}")
        except Exception as error:
            _log.warning("grader %r gives nothing for arm %r: %s", name, answer.decision.arm, error)
            return None


def check_graders(graders: object, quality: object) -> Mapping[str, Grader]:
    """Return the graders; none for None.

    Raises
    ------
    InvalidConfigurationError
        If a grader has no name, or cannot be called.
    """
    if quality is not None and not callable(quality):
        raise InvalidConfigurationError(f"quality is {shown(quality)}; give a function of an Answer")
    if graders is None:
        return {}
    if not isinstance(graders, Mapping):
        raise InvalidConfigurationError(
            f"graders is {shown(graders)}; give a mapping from names to functions of an Answer, {{'judge': judge}}"
        )
    for name, grader in graders.items():
        label(name, name="a name in graders", error=InvalidConfigurationError)
        if not callable(grader):
            raise InvalidConfigurationError(f"grader {name!r} is {shown(grader)}; give a function of an Answer")
    return graders
