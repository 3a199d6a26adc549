"""The errors that banditroute raises.

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
    ├── AdapterError                        an adapter cannot be loaded, unloaded or found
    │   ├── AdapterNotFoundError            there are no such files
    │   ├── AdapterIncompatibleError        damaged, or of another base model, rank, modules or content
    │   ├── AdapterCapacityError            no slot is free for it, or none is large enough
    │   ├── AdapterBusyError                a request is being served through it
    │   └── BackendUnavailableError         the server of the adapters is down, too slow, or fails
    ├── NotGrantedError                 a hard budget does not cover the call of any arm
    ├── InvalidResponseError                a client's answer with an error, a web page or nothing in it
    ├── EnergyCounterError                  an energy counter that is not there, or cannot be read
    └── MissingDependencyError (ImportError)   an extra is not installed; the message has the pip line

Every message says what was given, what was expected and what to do. Whatever raises one has changed nothing.
"""

from __future__ import annotations

_LONGEST_START, _LONGEST_END = 3_000, 1_000


class BanditRouteError(Exception):
    """Base of every error that banditroute raises on purpose.

    A message that quotes a long text of the caller is cut in its middle, so that logs stay small and the remedy at its
    end is kept.
    """

    def __init__(self, *args: object, **attributes: object) -> None:
        super().__init__(*(_cut(arg) if isinstance(arg, str) else arg for arg in args), **attributes)


def _cut(message: str) -> str:
    """Return a message without its middle if it is long."""
    if len(message) <= _LONGEST_START + _LONGEST_END:
        return message
    return f"{message[:_LONGEST_START]} ... {message[-_LONGEST_END:]}"


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


class AdapterError(BanditRouteError):
    """An adapter cannot be loaded, unloaded or found."""


class AdapterNotFoundError(AdapterError):
    """There are no such files."""


class AdapterIncompatibleError(AdapterError):
    """The adapter is damaged, or its base model, rank, modules or content are not what is expected."""


class AdapterCapacityError(AdapterError):
    """No slot is free for the adapter, or none is large enough."""


class AdapterBusyError(AdapterError):
    """A request is being served through the adapter."""


class BackendUnavailableError(AdapterError):
    """The server of the adapters is down, too slow, or fails."""


class NotGrantedError(BanditRouteError):
    """A call that was not made, since a hard budget does not cover any arm.

    Attributes
    ----------
    decision_id
        Of the decision that says so.
    """

    def __init__(self, message: str = "", *, decision_id: str = "") -> None:
        super().__init__(message)
        self.decision_id = decision_id


class InvalidResponseError(BanditRouteError):
    """A client's answer that cannot be used: an error or a web page with status 200, or an answer with no choices.

    Attributes
    ----------
    response
        The client's response.
    failure
        How the call failed, for ``router.feedback(id, failure=...)``.
    """

    def __init__(self, message: str = "", *, response: object = None, failure: str = "invalid_response") -> None:
        super().__init__(message)
        self.response = response
        self.failure = failure


class EnergyCounterError(BanditRouteError):
    """An energy counter that is not there, or cannot be read."""


class MissingDependencyError(BanditRouteError, ImportError):
    """An optional package is not installed."""
