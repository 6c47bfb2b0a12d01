"""Every error becomes the one body `{"code", "status", "message", "errors"}` here, and nowhere else."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, jsonify, request
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from backend.domain.mistakes import RuleErrors
from backend.errors import Busy, ChimeinError, Invalid, Unauthorized, Unavailable
from backend.storage.database import is_transient

logger = logging.getLogger(__name__)

_CODES = {400: "malformed", 401: "unauthorized", 408: "timed_out", 413: "too_large", 422: "invalid", 503: "unavailable"}
_KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")
_MESSAGES = {
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
    413: "The request body is too large.",
}


def register(app: Flask) -> None:
    """Makes the application answer every error with the one body."""
    app.register_error_handler(ChimeinError, answer)
    app.register_error_handler(ValidationError, _invalid)
    app.register_error_handler(RuleErrors, _invalid_rule)
    app.register_error_handler(HTTPException, answer_http)
    app.register_error_handler(Exception, _unexpected)


def answer(error: ChimeinError) -> Response:
    """The response to an error that we can name."""
    if error.status >= 500 and not isinstance(error, Busy):
        logger.error("%s on %s %r: %s", type(error).__name__, request.method, request.path, error.message)
    response = _response(error.body())
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = 'Bearer realm="chimein"'
    if isinstance(error, Busy):
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    return response


def _invalid(error: ValidationError) -> Response:
    messages = error.messages
    return answer(invalid(messages if isinstance(messages, dict) else {"_schema": messages}))


def invalid(messages: Mapping[Any, Any]) -> Invalid:
    """The error for mistakes in what was sent, nested as it was sent."""
    return Invalid("Some of what was sent is wrong; `errors` says what and where.", messages)


def _invalid_rule(error: RuleErrors) -> Response:
    return answer(Invalid("What was sent cannot work; `errors` says why and where.", error.errors))


def answer_http(error: HTTPException) -> Response | HTTPException:
    """The response to an error that Flask raised; a redirect stays what it is."""
    status = error.code or 500
    if status < 400:
        return error
    code = _CODES.get(status) or error.name.lower().replace(" ", "_")
    message = _MESSAGES.get(status) or error.description or error.name
    response = _response({"code": code, "status": status, "message": message, "errors": {}})
    for name, value in error.get_headers(request.environ):
        if name in _KEPT_HEADERS:
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    if is_transient(error):
        logger.warning("%s on %s %r: %s", type(error).__name__, request.method, request.path, error)
        return answer(Unavailable("The database or Redis does not answer.", retry_after=2))
    # %r: a path may hold line breaks, which would forge lines of the log.
    logger.error("unexpected error on %s %r", request.method, request.path, exc_info=error)
    message = "Something went wrong here; it has been logged."
    return _response({"code": "internal", "status": 500, "message": message, "errors": {}})


def _response(body: dict[str, Any]) -> Response:
    response = jsonify(body)
    response.status_code = body["status"]
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
