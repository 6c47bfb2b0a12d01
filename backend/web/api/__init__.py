"""The management API under `/api/v1`, its OpenAPI document and the page that explains it."""

from importlib.metadata import version
from typing import Any

import flask_smorest
from flask import Flask

from backend.schemas.error import ErrorOut
from backend.schemas.fields import Currency, Duration, Flag, Line, Moment, Money, Origin, TimeZone, Whole
from backend.schemas.page import Limit
from backend.schemas.policy import Written
from backend.schemas.simulation import RuleOrId
from backend.web.api import (
    canned_replies,
    conversations,
    departments,
    docs,
    feeds,
    funnels,
    identifiers,
    lists,
    merges,
    messages,
    operators,
    privacy,
    products,
    reports,
    rule_imports,
    rule_templates,
    rules,
    segments,
    simulations,
    sites,
    status,
    tokens,
    traits,
    triggers,
    versions,
    visitors,
    vocabularies,
    webhooks,
)
from backend.web.errors import answer_http

ABOUT = """\
Everything that can be managed in chimein.

Send a token with each request: `Authorization: Bearer TOKEN`. Bodies are JSON and say so: `Content-Type:
application/json`. Names that are not known are refused, never ignored. The administrator's token is what
`CHIMEIN_ADMIN_TOKEN` says, else it lies in `DIR/admin_token`, where DIR is the data directory (usually `./var`):
`export TOKEN=$(cat var/admin_token)`.

**Lists** answer `{"items": [...], "next_cursor": ...}`; ask for the next page with `cursor`, for its size with `limit`
(1 to 200, usually 50). **Errors** have one body, `{"code", "status", "message", "errors"}`; `errors` is nested as the
input was. **Times** are RFC 3339 in UTC, **money** is a decimal string with its currency beside it, **durations** are
written `30s 15m 2h 7d`. A **site** is named by its id or by its name; one that is not yours does not exist.
"""

_TYPES: dict[type, tuple[str, str | None]] = {
    Moment: ("string", "date-time"),
    Money: ("string", "decimal"),
    Duration: ("string", "duration"),
    Origin: ("string", "uri"),
    TimeZone: ("string", None),
    Currency: ("string", None),
    Line: ("string", None),
    Flag: ("boolean", None),
    Whole: ("integer", None),
    Limit: ("integer", None),
}


class _Api(flask_smorest.Api):  # type: ignore[misc]  # flask-smorest has no types
    ERROR_SCHEMA = ErrorOut

    def handle_http_exception(self, error: Any) -> Any:
        return answer_http(error)


def register(app: Flask) -> None:
    """Adds the API to the application; `extensions["chimein-api"]` is then the OpenAPI document's source."""
    app.config.update(OPENAPI_URL_PREFIX="/api", OPENAPI_JSON_PATH="openapi.json")
    api = _Api(spec_kwargs={"title": "chimein", "version": version("chimein-server"), "openapi_version": "3.1.0"})
    for field, kind in _TYPES.items():
        api.register_field(field, *kind)
    api.init_app(app, spec_kwargs={"info": {"description": ABOUT, "license": {"name": "Apache-2.0"}}})
    converter = api.ma_plugin.converter
    converter.add_attribute_function(_rule_or_id)
    api.spec.components.security_scheme(
        "bearer", {"type": "http", "scheme": "bearer", "description": "The administrator's token, or one of `tokens`."}
    )
    for module in (
        *(sites, rules, versions, rule_imports, rule_templates, segments, lists, triggers, reports, simulations),
        *(funnels, visitors, identifiers, merges, traits, vocabularies, privacy, messages, webhooks, products, feeds),
        *(conversations, departments, canned_replies, operators, tokens, status),
    ):
        api.register_blueprint(module.blueprint)
    app.extensions["chimein-api"] = api
    app.register_blueprint(docs.blueprint)


def _rule_or_id(_converter: Any, field: Any, **_kwargs: Any) -> dict[str, Any]:
    if isinstance(field, Written):
        return {"anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]}
    return {"anyOf": [{"type": "object"}, {"type": "string"}]} if isinstance(field, RuleOrId) else {}
