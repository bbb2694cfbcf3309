"""Errors as problem details of RFC 9457: an HTTP status and a JSON body.

Pure: no framework is imported here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from attrs import frozen

from .. import errors

MEDIA_TYPE: Final = "application/problem+json"

STATUSES: Final[Mapping[type[errors.IottlyError], int]] = {
    errors.IottlyError: 500,
    # An argument was refused before anything was sent.
    errors.ConfigurationError: 400,
    # The application's own state, which its client did not cause.
    errors.SetupError: 500,
    errors.SessionClosedError: 503,
    # Failures of the service, or of the network in between.
    errors.TransportError: 502,
    errors.DeadlineExceededError: 504,
    errors.DecodeError: 502,
    errors.ApiError: 502,
    errors.BadRequestError: 400,
    # 401 and 403 become 502: the refused key is the application's, not its client's.
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.DeviceOfflineError: 409,
    errors.RateLimitedError: 429,
    errors.CommandOutcomeUnknownError: 502,
    errors.WalkError: 502,
    errors.CursorMismatchError: 400,
    errors.WebhookEncodingError: 415,
    errors.WebhookSecretError: 403,
    errors.WebhookTooLargeError: 413,
    errors.WebhookUnavailableError: 503,
}
"""The status of each error class. A class that is missing has the status of its nearest parent."""

_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_EXTENSIONS: Final = ("code", "request_id", "sent", "attempts", "path")


@frozen
class Problem:
    """A response that describes an error.

    Attributes:
        status: the HTTP status.
        headers: `Retry-After` in whole seconds, if the error has one.
        body: `type`, `title`, `status` and `detail`, and those of `code`, `request_id`,
            `sent`, `attempts`, `path` and `retry_after` that the error has.
    """

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]


def problem_of(
    error: errors.IottlyError, statuses: Mapping[type[errors.IottlyError], int] = STATUSES
) -> Problem:
    """The response to an error. It holds no key, no header and no part of a body."""
    status = next(statuses[kind] for kind in type(error).__mro__ if kind in statuses)
    words = _WORDS.sub(" ", type(error).__name__.removesuffix("Error"))
    body: dict[str, Any] = {
        "type": f"urn:iottly-async:{words.lower().replace(' ', '-')}",
        "title": words.capitalize() if not words.isupper() else words,
        "status": status,
        "detail": str(error) or HTTPStatus(status).phrase,
    }
    for name in _EXTENSIONS:
        value = getattr(error, name, None)
        if value not in (None, 0):
            body[name] = value
    headers: dict[str, str] = {}
    if error.retry_after is not None and math.isfinite(error.retry_after):
        seconds = max(0, math.ceil(error.retry_after))
        headers["Retry-After"] = str(seconds)
        body["retry_after"] = seconds
    return Problem(status, headers, body)
