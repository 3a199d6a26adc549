"""Find out from a client's error how a call failed, and whether another arm may answer.

Errors are recognised by their attributes and messages, so clients of other packages are understood, and no package is
imported.
"""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from banditroute.core.failure import Failure
from banditroute.errors import AdapterError, InvalidResponseError
from banditroute.integrations.fields import count, field, sequence

_STATUS_FIELDS = (
    ("status_code",),
    ("status",),
    ("http_status",),
    ("code",),
    ("response", "status_code"),
    ("response", "status"),
    ("response", "ResponseMetadata", "HTTPStatusCode"),
)
_CODE_FIELDS = (
    ("code",),
    ("type",),
    ("body", "code"),
    ("body", "type"),
    ("body", "error", "code"),
    ("body", "error", "type"),
    ("body", "error", "innererror", "code"),
    ("response", "Error", "Code"),
)
_GRPC_STATUS = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 408,
}
_BY_STATUS = {
    401: Failure.AUTHENTICATION,
    402: Failure.INSUFFICIENT_CREDIT,
    403: Failure.AUTHENTICATION,
    404: Failure.UNKNOWN_MODEL,
    408: Failure.TIMEOUT,
    409: Failure.SERVER_ERROR,
    410: Failure.UNKNOWN_MODEL,
    413: Failure.CONTEXT_LENGTH,
    424: Failure.SERVER_ERROR,  # what stands behind the gateway failed
    425: Failure.SERVER_ERROR,
    429: Failure.RATE_LIMIT,
    451: Failure.CONTENT_FILTER,  # not here, for legal reasons
    498: Failure.RATE_LIMIT,  # no capacity is left for this tier
}
_BY_CLASS = (  # names of classes, or of classes that they derive from
    (r"Timeout|TimedOut|DeadlineExceeded", Failure.TIMEOUT),
    (r"LengthFinishReason|JSONDecode|ResponseValidation|^ValidationError$", Failure.INVALID_RESPONSE),
    (r"ContentFilter", Failure.CONTENT_FILTER),
    (r"ContextWindow", Failure.CONTEXT_LENGTH),
    (r"RateLimit|Throttl|TooManyRequests", Failure.RATE_LIMIT),
    (
        r"^APIConnectionError$|^Connect(ion)?Error$|^TransportError$|^ProtocolError$|^ClientConnect|SSLError|gaierror",
        Failure.CONNECTION,
    ),
    (r"^APIError$|^OpenAIError$|^AnthropicError$|^HTTPError$|^RequestException$|^ClientError$", Failure.SERVER_ERROR),
)
_BY_TEXT = (  # the first that is found counts
    (r"json_validate_failed|tool_use_failed|failed to (generate json|call a function)", Failure.INVALID_RESPONSE),
    (
        r"extra_forbidden|supports at most \d+"
        r"|max_(completion_|output_)?tokens( is|:).{0,40}(too large|maximum allowed)",
        Failure.UNSUPPORTED_PARAMETER,
    ),
    (
        r"context[ _]?(length|window|size|limit)|maximum context"
        r"|(prompt|input|request|messages?) (is |are )?too (long|large)"
        r"|too many (input |prompt )?tokens|string_above_max_length|reduce the length|exceeds?.{0,40}\btokens\b"
        r"|\binputs?\b.{0,60}must be <=|range of input length|longer than the maximum (model |input )?length",
        Failure.CONTEXT_LENGTH,
    ),
    (
        r"content[ _]?(filter|policy|management)|contentpolicy|responsibleai|moderation|safety|was filtered|flagged"
        r"|data_?inspection|inappropriate content|content exists risk",
        Failure.CONTENT_FILTER,
    ),
    (
        r"insufficient[ _]?(quota|credits?|balance|funds)|credit balance|billing|payment|exceeded your current quota"
        r"|out of credits?|not enough credits?|spending limit|account.{0,20}(suspended|deactivated)|arrearage"
        r"|account is in good standing",
        Failure.INSUFFICIENT_CREDIT,
    ),
    (
        r"api[ _-]?key|authenticat|unauthori[sz]ed|permission|access[ _]?denied|forbidden|credentials?"
        r"|token.{0,40}expired|expired.{0,20}token|(location|country|region|territory).{0,20}not supported",
        Failure.AUTHENTICATION,
    ),
    (
        r"model[ _]not[ _]found|deploymentnotfound|(unknown|no such|invalid|unsupported) (model|deployment|adapter)"
        r"|\b(model|deployment|adapter|lora)\b.{0,120}(not exist|not found|not available|not valid|unknown"
        r"|no longer|deprecated|decommissioned|not supported)|not a valid model",
        Failure.UNKNOWN_MODEL,
    ),
    (
        r"unsupported|not supported|only supported|(does not|cannot) support|unrecogni[sz]ed"
        r"|(is|are) not enabled|requires? --enable|supported values are|any of the expected tags"
        r"|no endpoints found that (can )?(support|handle)"
        r"|unknown (parameter|field|name|argument)|extra (inputs|fields)|not (permitted|allowed)"
        r"|unexpected (parameter|keyword|field)",
        Failure.UNSUPPORTED_PARAMETER,
    ),
    (r"rate[ _]?limit|too many requests|throttl|resource[ _]?exhausted", Failure.RATE_LIMIT),
    (r"overloaded|temporarily unavailable|server[ _]error|internal error|bad gateway", Failure.SERVER_ERROR),
)
_FIRST_EPOCH_SECONDS = 1e9  # a larger ``Retry-After`` is a time since 1970
_TEXT_CHARACTERS = 2_000  # of a message that are read
_NOTHING_IN_ANSWER = "No embedding data received"  # of openai, a ValueError
_DETAILS = 20  # of what a server refuses that are read


def failure_of(error: BaseException) -> Failure | None:
    """Return how the call failed; None if every arm would refuse the request, or the caller's own code is wrong.

    Examples
    --------
    >>> failure_of(TimeoutError())
    <Failure.TIMEOUT: 'timeout'>
    >>> failure_of(TypeError("create() got an unexpected keyword argument 'temperatur'")) is None
    True
    """
    if not isinstance(error, Exception):
        return Failure.CANCELLED
    if isinstance(error, InvalidResponseError):
        return Failure(error.failure)
    if isinstance(error, AdapterError):
        return Failure.OTHER
    status = _status(error)
    if status is None:
        return _without_status(error)
    return failure_of_status(status, words_of(error), asked_to_wait=retry_after_seconds(error) is not None)


def failure_of_status(status: int, words: str, *, asked_to_wait: bool = False) -> Failure | None:
    """Return how a call failed, from the status and the words of a server; None if every arm would refuse it."""
    by_text = failure_of_words(words)
    if status == 429:
        no_credit = by_text is Failure.INSUFFICIENT_CREDIT and not asked_to_wait
        return Failure.INSUFFICIENT_CREDIT if no_credit else Failure.RATE_LIMIT
    if status in (403, 500) and by_text in (Failure.CONTENT_FILTER, Failure.CONTEXT_LENGTH):
        return by_text
    if status in (401, 403) and by_text is Failure.INSUFFICIENT_CREDIT:
        return by_text
    if status == 404 and by_text is Failure.UNSUPPORTED_PARAMETER:  # of a gateway: no provider can do this
        return by_text
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return Failure.RATE_LIMIT if asked_to_wait else Failure.SERVER_ERROR
    return by_text


def retry_after_seconds(error: BaseException) -> float | None:
    """Return how long a server asks to be left alone; None if it does not say."""
    asked = _in_headers(error)
    return _in_body(field(error, "body")) if asked is None else asked


def _in_headers(error: BaseException) -> float | None:
    headers = field(error, "response", "headers")
    if headers is None:
        headers = field(error, "headers")
    get = getattr(headers, "get", None)
    if not callable(get):
        return count(field(error, "retry_after"))
    try:
        if (milliseconds := get("retry-after-ms")) is not None:
            return count(float(milliseconds) / 1e3)
        after = get("retry-after") or get("Retry-After")
        return None if after is None else _seconds(str(after))
    except (TypeError, ValueError):
        return None


def _in_body(body: Any) -> float | None:
    """Return the ``retryDelay`` in the body of an error, as Google's interfaces give it: ``"37.5s"``."""
    first = next(iter(sequence(body)), body)
    error = field(first, "error") or first
    delays = (field(each, "retryDelay") for each in sequence(field(error, "details")))
    delay = next((each for each in delays if isinstance(each, str)), "")
    return count(float(delay[:-1])) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?s", delay) else None


def _seconds(after: str) -> float | None:
    """Return the seconds that a header names: a number, a number with ``s``, a time since 1970, or a date."""
    try:
        seconds = count(float(after.strip().removesuffix("s")))
    except ValueError:
        return max(_date(after).timestamp() - time.time(), 0.0)
    if seconds is not None and seconds > _FIRST_EPOCH_SECONDS:
        return max(seconds - time.time(), 0.0)
    return seconds


def _date(text: str) -> datetime:
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return datetime.fromisoformat(text.strip())


def _without_status(error: Exception) -> Failure | None:
    names = [base.__name__ for base in type(error).__mro__]
    by_class = next((kind for name, kind in _BY_CLASS if any(re.search(name, each) for each in names)), None)
    if by_class is Failure.SERVER_ERROR:  # an error without a status, such as an event of a stream: its words say more
        return failure_of_words(words_of(error)) or by_class
    if by_class is not None:
        return by_class
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) or _NOTHING_IN_ANSWER in str(error):
        return Failure.INVALID_RESPONSE
    if isinstance(error, ConnectionError):
        return Failure.CONNECTION
    return failure_of(error.__cause__) if isinstance(error.__cause__, Exception) else None  # of a wrapper


def _status(error: Exception) -> int | None:
    for path in _STATUS_FIELDS:
        value = field(error, *path)
        if callable(value):  # grpc
            try:
                value = field(value(), "name")
            except Exception:
                continue
        if isinstance(value, str):
            value = _GRPC_STATUS.get(value) or (int(value) if re.fullmatch(r"[45]\d\d", value) else None)
        if isinstance(value, int) and 400 <= value <= 599:  # an event of a stream may say 200
            return int(value)
    return None


def words_of(error: Exception) -> str:
    """Return what a server says of an error: its codes, its message, and the details of what it refuses."""
    codes = [field(error, *path) for path in _CODE_FIELDS]
    said = [*(code for code in codes if isinstance(code, str)), str(error)[:_TEXT_CHARACTERS]]
    detail = field(error, "body", "detail")  # of servers made with FastAPI; they quote the request besides, in "input"
    if isinstance(detail, str):
        said.append(detail[:_TEXT_CHARACTERS])
    for each in sequence(detail)[:_DETAILS]:
        place = [str(part)[:80] for part in sequence(field(each, "loc"))[:_DETAILS]]
        said += [*place, *(str(field(each, name))[:_TEXT_CHARACTERS] for name in ("type", "msg"))]
    return " ".join(said)


def failure_of_words(words: str) -> Failure | None:
    """Return how a call failed, from the words of a server alone; None if they do not say."""
    lowered = words.lower().replace("\u2019", "'").replace("n't ", " not ")
    return next((kind for pattern, kind in _BY_TEXT if re.search(pattern, lowered)), None)
