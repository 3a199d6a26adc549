"""The live page of a database: read-only, for a browser; needs the extra ``dashboard``."""

from banditroute.dashboard.app import dashboard_app, run

__all__ = ["dashboard_app", "run"]
