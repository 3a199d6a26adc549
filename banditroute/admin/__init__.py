"""What an administrator does to a database: inspect, correct, erase, roll back, prune, verify."""

from banditroute.admin.records import Records

__all__ = ["Records"]
