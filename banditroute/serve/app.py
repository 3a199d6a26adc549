"""The app of the service: one thin function a path."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from banditroute.core.optional_imports import optional

optional("fastapi", extra="serve")  # before it is imported by name

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException

from banditroute import __version__, admin
from banditroute.admin import RecordedExplanation
from banditroute.config import ServeSettings
from banditroute.core.decision import Decision
from banditroute.core.plain_values import plain
from banditroute.errors import (
    AdapterError,
    BanditRouteError,
    ConflictingFeedbackError,
    InvalidInputError,
    InvalidRequestError,
    NotGrantedError,
    StoreError,
    UnknownDecisionError,
)
from banditroute.integrations import AsyncRoutedClient
from banditroute.router import Router
from banditroute.router.assembly import parts_of
from banditroute.serve.bodies import ChatBody, CompareBody, FeedbackBody, RouteBody, StepBody
from banditroute.serve.boundary import App, Boundary, error_body
from banditroute.serve.chat import complete, headers, refusal
from banditroute.serve.tokens import Tokens
from banditroute.store import SQLStore

_DECISIONS_KEPT = 10_000  # of this process, for /explain
_STATUS: Mapping[type[Exception], int] = {
    InvalidInputError: 422,
    UnknownDecisionError: 404,
    ConflictingFeedbackError: 409,
    NotGrantedError: 402,
    StoreError: 503,
    AdapterError: 503,
}

_UNAVAILABLE = "the database or an adapter cannot be used just now, the log says why; report again, or ask again later"
_log = logging.getLogger("banditroute.serve")


class _Service:
    """The router, its clients, and the recent decisions that the paths share."""

    def __init__(self, router: Router, client: AsyncRoutedClient | None) -> None:
        self.router = router
        self.client = client
        self.decisions: OrderedDict[str, Decision] = OrderedDict()

    def keep(self, decision: Decision) -> Decision:
        """Keep a decision for /explain."""
        self.decisions[decision.id] = decision
        if len(self.decisions) > _DECISIONS_KEPT:
            self.decisions.popitem(last=False)
        return decision


def create_app(
    router: Router,
    *,
    client: AsyncRoutedClient | None = None,
    tokens: Tokens | None = None,
    settings: ServeSettings | None = None,
    metrics: Callable[[], str] | None = None,
    dashboard: App | None = None,
) -> App:
    """Return the ASGI app of a service around a router.

    Parameters
    ----------
    router
        The router; it is closed when the app shuts down.
    client
        The clients behind the router, for ``/v1/chat/completions``. None: the service routes, and asks nobody.
    tokens
        Who may do what. None: everybody may do everything.
    settings
        Bounds of bodies and times.
    metrics
        Gives the text of ``/metrics``.
    dashboard
        An ASGI app to mount at ``/dashboard``.
    """
    service = _Service(router, client)
    settings = settings or ServeSettings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        router.close()  # writes what is left

    app = FastAPI(title="banditroute", version=__version__, lifespan=lifespan, redoc_url=None)
    _handle_errors(app)
    _chat_paths(app, service)
    _routing_paths(app, service)
    _looking_paths(app, service, metrics)
    if dashboard is not None:
        app.mount("/dashboard", dashboard)
    return Boundary(
        app,
        tokens=tokens,
        max_body_bytes=settings.max_body_bytes,
        timeout_seconds=settings.timeout_seconds,
    )


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(BanditRouteError)
    async def ours(request: object, error: BanditRouteError) -> JSONResponse:
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 502)
        message = str(error)
        if status == 503:  # its words name databases and servers, which are not the client's business
            _log.error("a request was answered with status 503: %s", message)
            message = _UNAVAILABLE
        return JSONResponse(error_body(_sendable(message), status=status), status_code=status)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: object, error: RequestValidationError) -> JSONResponse:
        found = [f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors()[:10]]
        return JSONResponse(error_body(_sendable("; ".join(found)), status=422), status_code=422)

    @app.exception_handler(HTTPException)
    async def other(request: object, error: HTTPException) -> JSONResponse:
        body = error_body(_sendable(str(error.detail)), status=error.status_code)
        return JSONResponse(body, status_code=error.status_code, headers=error.headers)


def _sendable(text: str) -> str:
    """Return a text that UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode()


def _chat_paths(app: FastAPI, service: _Service) -> None:
    client = service.client
    if client is None:
        return

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """List "auto" and the arms, in OpenAI's form."""
        names = ["auto", *(arm.name for arm in service.router.arms)]
        made = [{"id": name, "object": "model", "created": 0, "owned_by": "banditroute"} for name in names]
        return {"object": "list", "data": made}

    @app.post("/v1/chat/completions", response_model=None)
    async def chat_completions(body: ChatBody) -> Response:
        """Route a conversation, and return the arm's answer in OpenAI's form.

        The decision's id is in the header x-banditroute-decision-id, and in the body under "banditroute".
        """
        if body.model != "auto" and body.model not in [arm.name for arm in service.router.arms]:
            message = _sendable(f"unknown model {body.model!r:.80}; give 'auto' or the name of an arm")
            return JSONResponse(error_body(message, status=404, code="model_not_found"), status_code=404)
        try:
            decision, response = await complete(client, body)
        except BanditRouteError:
            raise
        except Exception as error:
            status, content = refusal(error)
            return JSONResponse(content, status_code=status)
        service.keep(decision)
        return response


def _routing_paths(app: FastAPI, service: _Service) -> None:
    router = service.router

    @app.post("/route", response_model=None)
    async def route(body: RouteBody) -> Response:
        """Choose an arm; with dry_run show what would be chosen, and record nothing."""
        asked, options = body.input, body.options()
        if isinstance(asked, list) and not asked:
            raise InvalidRequestError("input is empty; give a text, messages or ready features")
        if body.dry_run:
            return JSONResponse(explained(router.preview(asked, **options)))
        decision = service.keep(await router.aroute(asked, **options))
        return JSONResponse(explained(decision), headers=headers(decision))

    @app.post("/next_step", response_model=None)
    async def next_step(body: StepBody) -> Response:
        """Say, after an answer, whose answer to deliver, or which arm to ask next."""
        step = await router.anext_step(service.decisions.get(body.decision_id, body.decision_id), body.signals)
        following = None if step.next is None else explained(service.keep(step.next))
        facts = {"stop": step.stop, "answer": step.answer, "expected_quality": step.expected_quality}
        return JSONResponse({**facts, "next": following})

    @app.post("/feedback")
    async def feedback(body: FeedbackBody) -> dict[str, str]:
        """Report outcomes of a decision; the answer says when they are durable and learned."""
        given = body.model_dump(exclude={"decision_id", "objectives"}, exclude_none=True)
        if clash := sorted(given.keys() & body.objectives.keys()):
            raise InvalidInputError(f"{clash[0]} is given twice; give it once")
        return {"status": await _report(router, body.decision_id, {**body.objectives, **given})}

    @app.post("/compare")
    async def compare(body: CompareBody) -> dict[str, str]:
        """Report which of several answers was better."""
        await router.acompare(body.ranking, source=body.source)
        return {"status": "accepted"}


async def _report(router: Router, decision_id: str, outcomes: dict[str, Any]) -> str:
    try:
        return await router.afeedback(decision_id, **outcomes)
    except TypeError as error:  # an objective with the name of a parameter
        raise InvalidInputError(f"the outcomes cannot be read: {error}") from error


def _looking_paths(app: FastAPI, service: _Service, metrics: Callable[[], str] | None) -> None:
    router, began = service.router, time.monotonic()

    @app.get("/explain/{decision_id}", response_model=None)
    def explain(decision_id: str) -> Response:
        """Explain a recent decision of this process by what it knew; any other by what the database holds of it."""
        if (decision := service.decisions.get(decision_id)) is not None:
            return JSONResponse(explained(decision))
        return JSONResponse(plain(_recorded(router, decision_id)))

    @app.get("/status", response_model=None)
    async def status() -> Response:
        """Return what the router of this process is doing."""
        return JSONResponse(plain(router.status()))

    @app.get("/metrics", response_class=PlainTextResponse)
    def show_metrics() -> str:
        """Return the metrics for Prometheus."""
        if metrics is None:
            raise HTTPException(404, "no metrics are collected; install 'banditroute[prometheus]'")
        return metrics()

    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        """Say that the service answers, and whether something troubles its router; /status says what."""
        return {"status": "ok", "seconds": round(time.monotonic() - began, 1), "trouble": bool(router.status().trouble)}


def _recorded(router: Router, decision_id: str) -> RecordedExplanation:
    settings, learner = parts_of(router).settings, parts_of(router).engine.learner
    if not isinstance(settings.store, SQLStore):
        raise UnknownDecisionError(
            f"this process does not hold decision {decision_id[:80]!r}; it keeps the last {_DECISIONS_KEPT:,}"
        )
    try:
        return admin.explain(settings.store.url, decision_id, learner=learner, features=settings.features)
    except UnknownDecisionError:  # its words name the database, which is not the client's business
        raise UnknownDecisionError(
            f"no decision {decision_id[:80]!r} is recorded; check the id, and that it is not pruned or erased"
        ) from None


def explained(decision: Decision) -> dict[str, Any]:
    """Return a decision and its explanation as JSON has them."""
    rows = [
        {
            "arm": row.arm,
            "probability": row.probability,
            "utility": row.utility,
            "utility_std": row.utility_std,
            "penalty": row.penalty,
            "predictions": {name: {"mean": mean, "std": std} for name, (mean, std) in row.predictions.items()},
        }
        for row in decision.explain().rows
    ]
    made: dict[str, Any] = plain(
        {
            "id": decision.id,
            "arm": decision.arm,
            "propensity": decision.propensity,
            "granted": decision.granted,
            "reason": decision.reason,
            "policy": decision.policy,
            "preference": decision.preference,
            "decided_at": decision.decided_at,
            "session": decision.session,
            "tags": decision.tags,
            "arms": rows,
        }
    )
    return made
