"""Reports: a page for people to read, and the same figures for programs."""

from banditroute.report.logged import logged
from banditroute.report.page import page
from banditroute.report.section import Section, Table
from banditroute.report.simulated import simulated
from banditroute.report.write import report

__all__ = ["Section", "Table", "logged", "page", "report", "simulated"]
