"""Observers of a running router, for ``Router(observers=...)``."""

from banditroute.observe.collapse_monitor import CollapseMonitor
from banditroute.observe.logging_observer import LoggingObserver
from banditroute.observe.opentelemetry_observer import OpenTelemetryObserver
from banditroute.observe.prometheus_database import PrometheusDatabaseCollector
from banditroute.observe.prometheus_observer import PrometheusObserver
from banditroute.observe.river_drift_monitor import RiverDriftMonitor

__all__ = [
    "CollapseMonitor",
    "LoggingObserver",
    "OpenTelemetryObserver",
    "PrometheusDatabaseCollector",
    "PrometheusObserver",
    "RiverDriftMonitor",
]
