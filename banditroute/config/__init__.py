"""A whole router as one file: read, checked, written, and described by a JSON schema."""

from banditroute.config.deployment import Deployment, ServeSettings, Upstream, json_schema, load_deployment
from banditroute.config.routers import check_router, dump_router, load_router

__all__ = [
    "Deployment",
    "ServeSettings",
    "Upstream",
    "check_router",
    "dump_router",
    "json_schema",
    "load_deployment",
    "load_router",
]
