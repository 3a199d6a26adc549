"""One routed request: route, call the arm's client, report the outcome, and go on to the next arm if the call fails."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Collection, Mapping
from typing import Any

from banditroute.core.decision import Decision
from banditroute.core.failure import Failure
from banditroute.errors import InvalidRequestError, InvalidResponseError, NotGrantedError
from banditroute.integrations.answer import Answer
from banditroute.integrations.apis.base import Reading
from banditroute.integrations.call import Call, answered_outcomes, failed_outcomes
from banditroute.integrations.failures import failure_of
from banditroute.integrations.io import Io
from banditroute.integrations.raw_responses import body_of, is_raw, raised_while_parsing, raw_variant
from banditroute.integrations.reports import Reports
from banditroute.integrations.steps import Steps
from banditroute.integrations.stream import Stream
from banditroute.integrations.targets import Ask, Targets
from banditroute.integrations.tokens import estimated_tokens

SHADOW = "shadow"
"""Tag of the decisions of shadow calls."""

_PARSED_BY_THE_SDK = ("parse", "respond_parsed", "embed")  # the SDK raises errors of its own if it cannot
_log = logging.getLogger("banditroute")


class Exchange:
    """Asks the clients behind a router; the same for both kinds of clients."""

    def __init__(self, *, targets: Targets, io: Io, reports: Reports, steps: Steps | None, shadow: float = 0.0) -> None:
        self._targets = targets
        self._io = io
        self._reports = reports
        self._steps = steps
        self._shadow = shadow

    async def answer(self, ask: Ask, route: Mapping[str, Any]) -> Answer:
        """Return the answer of the first arm that gives one, or of an arm that is asked after it."""
        answer = await self._ask(ask, route)
        assert isinstance(answer, Answer)
        if self._steps is None or ask.kind == "embed":
            return answer

        async def another(decision: Decision) -> Answer:
            further = await self._attempt(ask, decision, (), is_last=True)
            assert isinstance(further, Answer)
            return further

        delivered = await self._steps.follow(answer, another)
        if random.random() < self._shadow:
            asked = {each.decision.arm for each in (delivered, *delivered.others)}
            self._io.aside(self._ask_shadow(self._steps, ask, route, asked))
        return delivered

    async def _ask_shadow(self, steps: Steps, ask: Ask, route: Mapping[str, Any], asked: Collection[str]) -> None:
        """Ask an arm that was not asked yet, with a decision of its own, and report the quality of its answer."""
        try:
            able = self._targets.able(ask, route.get("arms"))
            arms = [arm for arm in (self._targets.arms if able is None else able) if arm not in asked]
            if not arms:
                return
            tags = (*(route.get("tags") or ()), SHADOW)
            options = {**route, "arms": arms, "tags": tags, "session": None}  # a session's caches are not its own
            decision = await self._granted(ask, options)
            answer = await self._attempt(ask, decision, (), is_last=True)
            assert isinstance(answer, Answer)
            await steps.report_quality(answer)
        except NotGrantedError:
            pass  # its budget is spent
        except Exception as error:
            _log.warning("a shadow call gave nothing: %s", error)

    async def stream(self, ask: Ask, route: Mapping[str, Any]) -> Stream:
        """Return the stream of the first arm that gives one, once its first part is there."""
        stream = await self._ask(ask, route)
        assert isinstance(stream, Stream)
        return stream

    async def _ask(self, ask: Ask, route: Mapping[str, Any]) -> Answer | Stream:
        if not isinstance(route, Mapping):
            raise InvalidRequestError(
                f"route is {route!r:.80}; give options of route(), such as {{'session': 'ticket 7'}}"
            )
        options = {**route, "arms": self._targets.able(ask, route.get("arms"))}
        if options.get("input_tokens") is None:
            options["input_tokens"] = estimated_tokens(ask.messages, ask.options)
        first = decision = await self._granted(ask, options)
        failures: tuple[tuple[str, Exception], ...] = ()
        while True:
            following = self._targets.next_arm(ask, first.ranking, {decision.arm, *(arm for arm, _ in failures)})
            try:
                return await self._attempt(ask, decision, failures, is_last=following is None)
            except Exception as error:
                failures = (*failures, (decision.arm, error))
                if failure_of(error) is None:  # every arm would refuse the request
                    raise
                following = self._targets.next_arm(ask, first.ranking, {arm for arm, _ in failures})
                if following is None:
                    raise
                try:
                    decision = await self._granted(ask, {**options, "arms": [following]})
                except (InvalidRequestError, NotGrantedError):  # it was removed meanwhile, or costs too much
                    raise error from None

    async def _granted(self, ask: Ask, options: Mapping[str, Any]) -> Decision:
        """Return the decision for a call; raise NotGrantedError if a hard budget does not cover it."""
        decision = await self._io.route(ask.request, options)
        if not decision.granted:
            raise _not_granted(decision)
        return decision

    async def _attempt(
        self,
        ask: Ask,
        decision: Decision,
        failures: tuple[tuple[str, Exception], ...],
        *,
        is_last: bool,
        may_reload: bool = True,
    ) -> Answer | Stream:
        lease = None if decision.residency is None else self._io.lease(decision)
        if lease is not None:
            decision = await self._io.enter(lease)
            if not decision.granted:  # another arm than was routed to, whose adapter could not be loaded
                await self._io.leave(lease, None)
                raise _not_granted(decision)
        call = Call(
            decision=decision,
            target=self._targets[decision.arm],
            failures=failures,
            began=time.perf_counter(),
            lease=lease,
        )
        response: Any = None
        try:
            response = await self._response(ask, call, with_retries=is_last)
            content = await self._parsed(ask, call, response) if is_raw(response) else response
            if ask.stream:
                stream = Stream(
                    call=call, api=call.target.apis[ask.kind], response=content, io=self._io, reports=self._reports
                )
                await stream.begin()
                return stream
            answer = self._read(ask, call, response, content)
        except BaseException as error:
            try:
                if ask.stream and response is not None:
                    await self._io.close(response)
            finally:
                if lease is None or not may_reload or failure_of(error) is not Failure.UNKNOWN_MODEL:
                    await self._reports.report(call, failed_outcomes(call, error))
                    raise
            # The server has lost the adapter, as after a restart: the arm is not to blame.
            await self._io.leave(lease, error)
            return await self._attempt(ask, decision, failures, is_last=is_last, may_reload=False)
        outcomes = answered_outcomes(call, answer)
        self._reports.left_out.update(name for name, value in outcomes.items() if value is None)
        await self._reports.report(call, outcomes)
        return answer

    async def _response(self, ask: Ask, call: Call, *, with_retries: bool) -> Any:
        """Return the client's response, asked again without an option that it turns out not to know."""
        while True:
            arguments = call.target.arguments(ask)
            function = call.target.function(ask.kind, server=call.server, with_retries=with_retries)
            asked = raw_variant(function) if ask.kind in _PARSED_BY_THE_SDK else function
            try:
                response = await self._io.call(asked, arguments)
            except Exception as error:
                if failure_of(error) is None and raised_while_parsing(error):
                    raise _unreadable(call, error) from error
                if not self._targets.drop_unknown(call.target, ask, arguments, error):
                    raise
                continue
            return response if asked is function else await self._parsed(ask, call, response)

    async def _parsed(self, ask: Ask, call: Call, raw: Any) -> Any:
        """Return what a raw response holds; note its tokens if the SDK cannot parse it."""
        try:
            return await self._io.call(raw.parse, {})
        except Exception as error:
            reading = self._reading(ask, call, body_of(raw))
            call.counts = reading.counts
            if reading.failure is None and failure_of(error) is not None:
                raise
            raise _unreadable(call, error, reading, raw) from error

    def _reading(self, ask: Ask, call: Call, content: Any) -> Reading:
        try:
            return call.target.apis[ask.kind].read(content)
        except Exception:  # an answer that is paid for must not be lost because it cannot be read
            _log.exception("the answer of arm %r cannot be read; it is given without text and usage", call.target.arm)
            return Reading()

    def _read(self, ask: Ask, call: Call, response: Any, content: Any) -> Answer:
        """Return the answer in the content of a response; raise InvalidResponseError without one."""
        reading = self._reading(ask, call, content)
        call.texts, call.counts = [reading.text], reading.counts
        if reading.failure is not None:
            raise InvalidResponseError(
                f"arm {call.target.arm!r}: {reading.why}", response=response, failure=str(reading.failure)
            )
        return call.answer(response=response, parsed=reading.parsed)


def _unreadable(
    call: Call, error: Exception, reading: Reading | None = None, response: Any = None
) -> InvalidResponseError:
    reading = reading or Reading()
    why = reading.why or f"the client cannot parse the answer ({type(error).__name__})"
    failure = reading.failure or Failure.INVALID_RESPONSE
    return InvalidResponseError(f"arm {call.target.arm!r}: {why}", response=response, failure=str(failure))


def _not_granted(decision: Decision) -> NotGrantedError:
    message = decision.reason.removeprefix("fallback: ")
    return NotGrantedError(f"no arm was asked: {message}", decision_id=decision.id)
