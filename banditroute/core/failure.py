"""The ways in which a call of an arm fails."""

from __future__ import annotations

from enum import StrEnum


class Failure(StrEnum):
    """The reason why a call gave no answer, for ``router.feedback(id, failure="rate_limit")``.

    No failure teaches anything about quality. They differ in what they say about the arm:

    - **The arm is out of order**: ``timeout``, ``connection``, ``server_error``, ``authentication``,
      ``insufficient_credit``, ``unknown_model``, ``invalid_response``, ``other``. The call counts as unavailable, and
      towards opening the arm's circuit.
    - **The arm is busy**: ``rate_limit``. The call counts as unavailable. With ``retry_after_seconds`` the arm is left
      alone for that long; without, it counts towards opening the circuit.
    - **The arm cannot serve this request**: ``context_length``, ``content_filter``, ``unsupported_parameter``. Another
      request may succeed, so neither availability nor the circuit changes.
    - **The caller went away**: ``cancelled``. It counts towards opening the circuit only if nothing came within the
      arm's usual time, so impatient users open no circuit.

    Examples
    --------
    >>> Failure("rate_limit")
    <Failure.RATE_LIMIT: 'rate_limit'>
    >>> Failure.CONTEXT_LENGTH.blames_arm, Failure.TIMEOUT.blames_arm
    (False, True)
    """

    RATE_LIMIT = "rate_limit"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    SERVER_ERROR = "server_error"
    AUTHENTICATION = "authentication"
    INSUFFICIENT_CREDIT = "insufficient_credit"
    UNKNOWN_MODEL = "unknown_model"
    CONTEXT_LENGTH = "context_length"
    CONTENT_FILTER = "content_filter"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    INVALID_RESPONSE = "invalid_response"
    CANCELLED = "cancelled"
    OTHER = "other"

    @property
    def blames_arm(self) -> bool:
        """True if the call counts as unavailable: the arm failed, not the request and not the caller."""
        return self not in _ARM_IS_WELL


_ARM_IS_WELL = {
    Failure.CONTEXT_LENGTH,
    Failure.CONTENT_FILTER,
    Failure.UNSUPPORTED_PARAMETER,
    Failure.CANCELLED,
}
