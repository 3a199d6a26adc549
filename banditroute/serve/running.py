"""A service from a file: the router, the clients of its upstreams, tokens and metrics, served by uvicorn."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import click

from banditroute.config import Deployment, ServeSettings, Upstream, load_deployment
from banditroute.core.optional_imports import optional
from banditroute.dashboard import dashboard_app
from banditroute.errors import InvalidConfigurationError, MissingDependencyError
from banditroute.integrations import AsyncRoutedClient
from banditroute.router import Router
from banditroute.serve.app import create_app
from banditroute.serve.boundary import App
from banditroute.serve.tokens import Tokens
from banditroute.serve.upstreams import AsyncUpstream
from banditroute.store import SQLStore

_FILE = "BANDITROUTE_FILE"
_SHUTDOWN_SECONDS = 30


def run(
    file: str,
    *,
    host: str | None = None,
    port: int | None = None,
    token_file: str | None = None,
    workers: int = 1,
) -> None:
    """Serve the router that a file describes, until the process is told to stop.

    Parameters
    ----------
    file
        The path of the TOML file.
    host, port, token_file
        In place of those of the file's ``[serve]``.
    workers
        Number of processes; more than one need a database in common.

    Raises
    ------
    InvalidConfigurationError
        If the file has mistakes, an address that others can reach has no tokens, or workers have no database in common.
    """
    uvicorn = optional("uvicorn", extra="serve")
    given = {"HOST": host, "PORT": port, "TOKEN_FILE": token_file}
    os.environ |= {f"BANDITROUTE__SERVE__{name}": str(value) for name, value in given.items() if value is not None}
    os.environ[_FILE] = file
    deployment = load_deployment(file)
    check_address(deployment.serve)
    if workers > 1 and not isinstance(deployment.router.get("store"), SQLStore):
        raise InvalidConfigurationError(
            f"{workers} workers share nothing without a database; give the file a store of type SQLStore"
        )
    with listening_socket(deployment.serve) if workers > 1 else nullcontext() as shared:
        if shared is not None:  # of which uvicorn knows the number alone
            click.echo(
                f"{workers} workers running on http://{deployment.serve.host}:{shared.getsockname()[1]}", err=True
            )
        uvicorn.run(
            "banditroute.serve.running:app_of_environment",
            factory=True,
            host=deployment.serve.host,
            port=deployment.serve.port,
            fd=None if shared is None else shared.fileno(),
            workers=workers,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            log_level="info",  # says when it is ready, and where
            access_log=False,
            server_header=False,
        )


def listening_socket(settings: ServeSettings) -> socket.socket:
    """Return the socket of several workers, whose connections send small packets at once.

    Those of the socket that uvicorn would share do not: every answer would wait 40 ms for the client's kernel.

    Raises
    ------
    InvalidConfigurationError
        If the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        made = socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise InvalidConfigurationError(
            f"the service cannot listen at {settings.host}, port {settings.port}: {os.strerror(error.errno or 0)}; "
            "give another"
        ) from error
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def check_address(settings: ServeSettings) -> None:
    """Raise InvalidConfigurationError if others can reach the address and there is no token file.

    Examples
    --------
    >>> check_address(ServeSettings(host="0.0.0.0"))
    Traceback (most recent call last):
    banditroute.errors.InvalidConfigurationError: host 0.0.0.0 can be reached by others; give a token_file, or 127.0.0.1
    """
    try:
        is_loopback = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        is_loopback = settings.host == "localhost"
    if not is_loopback and settings.token_file is None:
        raise InvalidConfigurationError(
            f"host {settings.host} can be reached by others; give a token_file, or 127.0.0.1"
        )


def app_of_environment() -> App:
    """Return the app of the file that the environment names; each worker process makes its own."""
    return app_of(load_deployment(os.environ[_FILE]))


def app_of(deployment: Deployment, *, dashboard: App | None = None) -> App:
    """Return the app of a deployment, with the live page of its database at ``/dashboard`` unless one is given.

    Raises
    ------
    InvalidConfigurationError
        If some arms have an upstream and others have none, or the tokens cannot be read.
    """
    check_address(deployment.serve)
    names = [arm if isinstance(arm, str) else arm.name for arm in deployment.router["arms"]]
    if missing := [name for name in names if deployment.upstreams and name not in deployment.upstreams]:
        raise InvalidConfigurationError(f"arm {missing[0]!r} has no upstream, and others have; give one for each arm")
    token_file = deployment.serve.token_file
    tokens = None if token_file is None else Tokens.read(token_file)
    arguments = dict(deployment.router)
    metrics = _metrics(arguments)
    router = Router(**arguments)
    try:
        client = _client(router, deployment.upstreams)
        return create_app(
            router,
            client=client,
            tokens=tokens,
            settings=deployment.serve,
            metrics=metrics,
            dashboard=dashboard or _live_page(arguments.get("store")),
        )
    except BaseException:
        router.close()
        raise


def _client(router: Router, upstreams: Mapping[str, Upstream]) -> AsyncRoutedClient | None:
    if not upstreams:
        return None
    openai = optional("openai", extra="serve")
    clients = {}
    there = {arm.name for arm in router.arms}  # an arm of the file may have been removed for all processes
    for arm, upstream in upstreams.items():
        if arm not in there:
            continue
        key = None if upstream.api_key is None else upstream.api_key.get_secret_value()
        asked = openai.AsyncOpenAI(
            base_url=upstream.base_url,
            api_key=key or os.environ.get("OPENAI_API_KEY") or "none",
            timeout=upstream.timeout_seconds,
        )
        clients[arm] = (AsyncUpstream(asked), upstream.model or arm)
    return AsyncRoutedClient.of_service(router, clients)


def _live_page(store: object) -> App | None:
    """Return the live page of a router's database; None without a database, or without the extra ``dashboard``."""
    if not isinstance(store, SQLStore):
        return None
    try:
        return dashboard_app(store.url)
    except MissingDependencyError:
        return None


def _metrics(arguments: dict[str, Any]) -> Callable[[], str] | None:
    """Return what gives the text of the metrics: of all processes on a database, or else of this one."""
    try:
        client = optional("prometheus_client", extra="prometheus")
    except MissingDependencyError:
        return None
    from banditroute.observe import PrometheusDatabaseCollector, PrometheusObserver

    registry = client.CollectorRegistry()
    store = arguments.get("store")
    if isinstance(store, SQLStore):
        made: list[PrometheusDatabaseCollector] = []

        def text() -> str:
            if not made:  # at the first scrape, when the router has made the database
                made.append(PrometheusDatabaseCollector(url=store.url, registry=registry))
            return str(client.generate_latest(registry).decode())

        return text
    observer = PrometheusObserver(registry=registry)
    arguments["observers"] = [*arguments.get("observers", ()), observer]
    return lambda: str(client.generate_latest(registry).decode())
