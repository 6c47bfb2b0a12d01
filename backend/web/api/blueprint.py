"""What every module of the API builds on: strict parsing, one error body, rights, and their documentation."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import wraps
from typing import Any, NoReturn, TypeVar, cast

import flask_smorest
from flask import Request, Response, request
from marshmallow import Schema, ValidationError
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import UnsupportedMediaType

from backend.errors import Malformed, TooLarge
from backend.web import auth
from backend.web.auth import Right
from backend.web.errors import invalid
from backend.web.strict_json import check_text, read_json

MOST_UNPACKED = 8 * 2**20

View = TypeVar("View", bound=Callable[..., Any])

_WHO: Mapping[Right, str] = {
    "read": "Any token.",
    "record": "Roles: operator, marketer, administrator.",
    "rules": "Roles: marketer, administrator.",
    "administer": "Role: administrator.",
}


def json_body() -> Any:
    """The request's JSON; raises where it is none, and where it does not say that it is.

    Pages of other sites can make a browser post text/plain and forms without asking, but not application/json.
    """
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send JSON, and say so: Content-Type: application/json.")
    body = request.get_data(cache=True)
    return read_json(unpacked(body) if request.content_encoding else body)


def unpacked(body: bytes) -> bytes:
    """The body without its gzip: many rules or events fit into a request that way."""
    if request.content_encoding != "gzip":
        raise UnsupportedMediaType("The only Content-Encoding known here is gzip.")
    unpacker = zlib.decompressobj(31)
    try:
        plain = unpacker.decompress(body, MOST_UNPACKED + 1)
    except zlib.error:
        raise Malformed("The body is not gzip.") from None
    if len(plain) > MOST_UNPACKED:
        raise TooLarge(f"A body has at most {MOST_UNPACKED // 2**20} MB, unpacked.")
    if not unpacker.eof or unpacker.unused_data:
        raise Malformed("The gzip body is cut short, or has something behind it.")
    return plain


class _Parser(FlaskParser):
    """Reads what a request carries; unknown names are mistakes wherever they stand."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {}  # noqa: RUF012  # webargs declares it so

    def load_json(self, req: Request, schema: Schema) -> Any:  # noqa: ARG002
        return json_body()

    def handle_error(self, error: ValidationError, *_args: Any, **_kwargs: Any) -> NoReturn:
        messages = error.messages
        # webargs puts the place ("json", "query") on top; it is no part of what was sent.
        inner = next(iter(messages.values())) if isinstance(messages, dict) and len(messages) == 1 else messages
        raise invalid(inner if isinstance(inner, dict) else {"_schema": inner})


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]  # flask-smorest has no types
    """A part of the API."""

    ARGUMENTS_PARSER = _Parser()

    def __init__(self, name: str, module: str, description: str) -> None:
        super().__init__(name, module, url_prefix="/api/v1", description=description)
        self.before_request(_check_address)
        self.after_request(_keep_private)

    def route(self, rule: str, *, methods: Sequence[str]) -> Callable[[View], View]:
        """Adds the view at this address below /api/v1."""
        return cast(Callable[[View], View], super().route(rule, methods=methods))

    def arguments(self, schema: type[Schema], *, location: str = "json", example: Any = None) -> Callable[[View], View]:
        """Loads what came with the request, and hands it to the view as its next argument."""
        return cast(Callable[[View], View], super().arguments(schema, location=location, example=example))

    def response(self, status: int, schema: type[Schema] | None = None) -> Callable[[View], View]:
        """Dumps what the view returns."""
        return cast(Callable[[View], View], super().response(status, schema))

    def alt_response(self, status: int, response: str) -> Callable[[View], View]:
        """Documents another answer by its name."""
        return cast(Callable[[View], View], super().alt_response(status, response))

    def described(self, **doc: Any) -> Callable[[View], View]:
        """Documents by hand."""
        return cast(Callable[[View], View], self.doc(**doc))

    def allow(self, right: Right) -> Callable[[View], View]:
        """As `auth.allow`, and documented. It must stand above everything but the route, to be asked first."""

        def decorate(view: View) -> View:
            guarded = auth.allow(right)(view)

            @wraps(guarded)
            def documented(*args: Any, **kwargs: Any) -> Any:
                return guarded(*args, **kwargs)

            doc = deepcopy(getattr(view, "_apidoc", {}))
            manual = doc.setdefault("manual_doc", {})
            manual["operationId"] = view.__name__
            manual["security"] = [{"bearer": []}]
            manual["x-role"] = _WHO[right]
            manual.setdefault("responses", {}).update({"401": "UNAUTHORIZED", "403": "FORBIDDEN", "404": "NOT_FOUND"})
            documented.__dict__["_apidoc"] = doc
            return documented  # type: ignore[return-value]

        return decorate


def body_doc(schema: type[Schema], description: str, example: Any = None) -> dict[str, Any]:
    """The documentation of a request body that a view reads itself."""
    content: dict[str, Any] = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {"description": description, "required": True, "content": {"application/json": content}}


def object_body() -> dict[str, Any]:
    """The request's JSON, which must be an object."""
    body = json_body()
    if not isinstance(body, dict):
        raise Malformed("The body must be a JSON object.")
    return body


def _check_address() -> None:
    for text in (request.path, *request.args.keys(), *request.args.values()):
        check_text(text)


def _keep_private(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response
