"""What banditroute raises.

::

    BanditRouteError
    ├── InvalidInputError (ValueError)      an argument or an outcome that cannot be used
    │   ├── InvalidRequestError             a request that cannot be routed: no arm left, wrong length, NaN
    │   ├── InvalidFeedbackError            an outcome out of its range, unknown, or not a number
    │   └── InvalidConfigurationError       arms, preference or settings that contradict each other
    ├── UnknownDecisionError (KeyError)     feedback for a decision that the store does not hold
    ├── ConflictingFeedbackError            another value for an outcome that is already recorded
    ├── StoreError                          the store cannot be opened, read or written
    │   └── IncompatibleStoreError          corrupt, another application's, or of a newer version
    ├── EnergyCounterError                  an energy counter that is not there, or cannot be read
    └── MissingDependencyError (ImportError)   an extra is not installed; the message has the pip line

Every message says what was given, what was expected and what to do. Whatever raises one has changed nothing.
"""

from __future__ import annotations


class BanditRouteError(Exception):
    """Base of every error that banditroute raises on purpose."""


class InvalidInputError(BanditRouteError, ValueError):
    """An argument or an outcome that cannot be used."""


class InvalidRequestError(InvalidInputError):
    """A request that cannot be routed."""


class InvalidFeedbackError(InvalidInputError):
    """An outcome that cannot be recorded."""


class InvalidConfigurationError(InvalidInputError):
    """Arms, preferences or settings that cannot work together."""


class UnknownDecisionError(BanditRouteError, KeyError):
    """Feedback for a decision that the store does not hold."""

    def __str__(self) -> str:  # KeyError would show the message as a quoted repr
        return str(self.args[0]) if self.args else ""


class ConflictingFeedbackError(BanditRouteError):
    """Another value for an outcome that is already recorded; the first value stays."""


class StoreError(BanditRouteError):
    """The store cannot be opened, read or written."""


class IncompatibleStoreError(StoreError):
    """The stored data is corrupt, belongs to another application, or is of a newer version."""


class EnergyCounterError(BanditRouteError):
    """An energy counter that is not there, or cannot be read."""


class MissingDependencyError(BanditRouteError, ImportError):
    """An optional package is not installed."""
