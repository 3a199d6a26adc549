"""The ASGI app of the live page, and the server that ``banditroute dashboard`` runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from banditroute.core.addresses import shown_address
from banditroute.core.optional_imports import optional
from banditroute.dashboard.page import Page
from banditroute.dashboard.reader import Reader
from banditroute.dashboard.view import Filters
from banditroute.errors import BanditRouteError, MissingDependencyError

App = Callable[
    [MutableMapping[str, Any], Callable[..., Awaitable[Any]], Callable[..., Awaitable[None]]], Awaitable[None]
]
_HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "style-src 'self' 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_KEPT = {**_HEADERS, "cache-control": "private, max-age=3600"}
_STATIC = Path(__file__).with_name("static")
_LOOPBACK = ["127.0.0.1", "localhost"]


def dashboard_app(url: str) -> App:
    """Return the live page of a database as an ASGI app, to be mounted in any other. Needs the extra ``dashboard``.

    It reads the database and never writes: a SQLite file is opened read-only, and PostgreSQL is read in read-only
    transactions. It has no login of its own: everybody who reaches it sees the page.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.

    Raises
    ------
    MissingDependencyError
        If the extra is not installed.
    InvalidConfigurationError
        If the URL names no database.
    IncompatibleStoreError, StoreError
        If the database cannot be used.
    """
    optional("starlette", extra="dashboard")
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
    from starlette.routing import Route

    plotly = _plotly()
    reader = Reader(url=url)
    page = Page(name=shown_address(url))

    def index(request: Request) -> Response:
        filters = Filters.of(request.query_params.multi_items())
        return HTMLResponse(page.whole(reader.visit(), reader.history, filters), headers=_HEADERS)

    def live(request: Request) -> Response:
        filters = Filters.of(request.query_params.multi_items())
        return JSONResponse(page.live(reader.visit(), reader.history, filters), headers=_HEADERS)

    def decision(request: Request) -> Response:
        id = request.query_params.get("id", "").strip()
        try:
            found = reader.explain(id)
        except BanditRouteError as error:
            return HTMLResponse(page.decision(id, None, str(error)), status_code=503, headers=_HEADERS)
        status = 404 if found is None else 200
        return HTMLResponse(page.decision(id, found, ""), status_code=status, headers=_HEADERS)

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        files = {
            "plotly.js": plotly,
            "dashboard.js": _STATIC / "dashboard.js",
            "dashboard.css": _STATIC / "dashboard.css",
        }
        if name not in files:
            return Response("unknown file", status_code=404, headers=_HEADERS)
        return FileResponse(files[name], headers=_KEPT)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/live", live),
            Route("/decision", decision),
            Route("/static/{name}", static),
        ]
    )


def run(url: str, *, port: int = 8081) -> None:
    """Serve the live page of a database on this machine alone, until Ctrl-C. Needs the extra ``dashboard``.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    port
        Port of the loopback to listen on.

    Raises
    ------
    MissingDependencyError
        If the extra is not installed.
    InvalidConfigurationError
        If the URL names no database.
    IncompatibleStoreError, StoreError
        If the database cannot be used.
    """
    uvicorn = optional("uvicorn", extra="dashboard")
    app = dashboard_app(url)
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    # Another site's name that is made to point here would let that site read the page.
    guarded = TrustedHostMiddleware(app, allowed_hosts=_LOOPBACK, www_redirect=False)
    uvicorn.run(guarded, host="127.0.0.1", port=port, log_level="warning", server_header=False)


def _plotly() -> Path:
    """Return the path of Plotly's JavaScript in the installed package, which is not imported."""
    spec = find_spec("plotly")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        script = Path(place) / "package_data" / "plotly.min.js"
        if script.exists():
            return script
    raise MissingDependencyError("plotly is not installed; run: pip install 'banditroute[dashboard]'", name="plotly")
