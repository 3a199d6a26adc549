"""Reports: one page for people to read, the same figures for programs."""

from banditroute.report.logged import logged
from banditroute.report.page import page
from banditroute.report.section import Section, Table
from banditroute.report.simulated import simulated

__all__ = ["Section", "Table", "logged", "page", "simulated"]
