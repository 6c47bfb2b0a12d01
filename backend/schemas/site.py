"""How a site is written: in the API, and as the JSON column that holds everything but its keys."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from marshmallow import EXCLUDE, ValidationError, fields, validate

from backend.domain.calendar import read_quiet_hours
from backend.domain.consent import CATEGORIES, NOTHING_ASKED, ConsentPolicy
from backend.domain.duration import format_duration
from backend.domain.fact import read_levels, read_rfm
from backend.domain.funnel import BUILT_IN, Funnel, read_stages
from backend.domain.mistakes import WHOLE, Mistakes
from backend.domain.profile import STAGES
from backend.domain.rule.limits import read_caps
from backend.domain.site import Attention, Policy, Site
from backend.domain.webhook import SHORTEST_RETENTION, webhook_secret
from backend.schemas.capture import CAPTURE, AttentionFields, CaptureFields, attention_view, capture_of
from backend.schemas.fields import Currency, Duration, Flag, Line, Moment, Origin, StrictSchema, TimeZone
from backend.schemas.rule import CONDITION


def _name(text: str) -> None:
    if "/" in text or text in {".", ".."}:
        raise ValidationError("Must not hold a slash: the name stands in addresses.")
    if re.fullmatch(r"[0-9a-f]{32}", text):
        raise ValidationError("Must not look like an id.")


def _retention(span: timedelta) -> None:
    if span < SHORTEST_RETENTION:
        raise ValidationError(f"Must be at least {format_duration(SHORTEST_RETENTION)}.")


def _region(code: str | None) -> None:
    import phonenumbers  # takes its time to load, and only this looks at all regions

    if code is not None and code not in phonenumbers.SUPPORTED_REGIONS:
        raise ValidationError("Must be the two capital letters of a country, such as AT.")


_KEY = validate.Regexp(r"[A-Za-z0-9_.~-]{1,100}\Z", error="Must be 1 to 100 letters, digits or any of _ . ~ -")


class Written(fields.Field[Any]):
    """A document of the rule language; `read` notes its mistakes."""

    def __init__(self, read: Callable[[Any, tuple[str | int, ...], Mistakes], object], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._read = read

    def _serialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        return [dict(each) for each in value] if isinstance(value, tuple) else value

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        mistakes = Mistakes()
        self._read(value, (), mistakes)
        if mistakes:
            raise ValidationError(mistakes.errors)
        return tuple(value) if isinstance(value, list) else value


def _a_day(span: timedelta) -> None:
    if span < timedelta(days=1):
        raise ValidationError("Must be 1d or more.")


class ConsentFields(StrictSchema):
    """The category (necessary, analytics, marketing) that must be agreed to; null: none."""

    store = fields.String(
        allow_none=True,
        validate=validate.OneOf(CATEGORIES),
        metadata={"description": "Before an event is stored.", "example": "analytics"},
    )
    show = fields.String(
        allow_none=True,
        validate=validate.OneOf(CATEGORIES),
        metadata={"description": "Before a promotional message is shown on the site.", "example": "marketing"},
    )
    mail = fields.String(
        allow_none=True,
        validate=validate.OneOf(CATEGORIES),
        metadata={"description": "Before a promotional message is sent elsewhere.", "example": "marketing"},
    )


class StageList(fields.Raw):
    """The stages of a funnel, as they are written; segments that they name are looked for later."""

    def _serialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        return list(value)

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        mistakes = Mistakes()
        read_stages(value, (), mistakes)
        if mistakes:
            raise ValidationError(mistakes.errors.get(WHOLE, mistakes.errors))
        return tuple(value)


class PolicyFields(StrictSchema):
    """What a site allows."""

    max_event_age = Duration(
        metadata={"description": "An older event is counted but starts nothing.", "example": "10m"}
    )
    require_signature = Flag(
        metadata={"description": "A page's identify must carry a valid userHash to link its visitor to the user."}
    )
    unverified_email = Flag(
        metadata={"description": "An address that was only typed into a form field may be written to."}
    )
    phone_region = fields.String(
        allow_none=True,
        validate=_region,
        metadata={
            "description": "The country, by its two letters, of phone numbers that name none. Without one, only those "
            "that begin with + are normalised.",
            "example": "AT",
        },
    )
    placeholders = fields.List(
        Line(longest=100),
        validate=validate.Length(max=500),
        metadata={
            "description": "Further values that identify nobody, beside null, undefined, 0000 and their like: as a "
            "user id, an anonymous id or an address they are not looked at. Compared without case.",
            "example": ["guest@shop.example", "no-id"],
        },
    )
    caps = Written(
        read_caps,
        metadata={
            "description": "How much may be said to one person by all rules together.",
            "example": [{"count": 1, "per": "session", "channels": ["popup", "chat"]}, {"count": 3, "within": "7d"}],
        },
    )
    quiet_hours = Written(
        read_quiet_hours,
        allow_none=True,
        metadata={
            "description": "When nothing is sent to people who are elsewhere, in their own time zone.",
            "example": {"from": "21:00", "to": "09:00", "then": "next_available"},
        },
    )
    dismiss_backoff = Duration(
        metadata={
            "description": "How long nothing pops up after somebody waved a message away; twice as long each time.",
            "example": "1d",
        }
    )
    holdout = fields.Float(
        validate=validate.Range(0, 100),
        metadata={"description": "Percent of the people who get no promotional message at all, for comparison."},
    )
    webhook_retention = Duration(
        validate=_retention,
        metadata={"description": "How long a webhook is kept in the log once it came to its end.", "example": "30d"},
    )
    rfm = Written(
        read_rfm,
        allow_none=True,
        metadata={
            "description": "Where the scores of recency (days), frequency (orders) and money change, from 1 to 5.",
            "example": {"recency": [7, 30, 90, 180], "frequency": [2, 3, 5, 10], "money": [50, 100, 250, 1000]},
        },
    )
    loyalty = Written(
        read_levels,
        metadata={
            "description": "Levels of loyalty, the lowest first: who has so many orders, and spent so much.",
            "example": [{"name": "silver", "orders": 3}, {"name": "gold", "orders": 10, "revenue": "1000"}],
        },
    )
    honour_gpc = Flag(
        metadata={"description": "Browsers that send Global Privacy Control are not observed, unless they consent."}
    )
    honour_dnt = Flag(metadata={"description": "The same for Do Not Track; off by default."})
    consent = fields.Nested(
        ConsentFields,
        metadata={"description": "Which consent is asked for before anything is stored, shown or mailed."},
    )
    retention = fields.Dict(
        keys=Line(longest=255),
        values=Duration(validate=_a_day),
        validate=validate.Length(max=200),
        metadata={
            "description": "How long events are kept, by name; * for all others. What is older is removed within a day "
            "and not let in again; what profiles have counted stays. Simulations and `performed` see what is kept.",
            "example": {"Page Viewed": "90d", "*": "400d"},
        },
    )
    hide_query = fields.List(
        Line(),
        validate=validate.Length(max=50),
        metadata={
            "description": "Query parameters whose values are taken out of every address, beside those that carry "
            "secrets by their name (token, password, secret and the like).",
            "example": ["email"],
        },
    )
    access_log_kept = Duration(
        validate=_a_day, metadata={"description": "How long it is remembered who looked at whom.", "example": "400d"}
    )


class SiteFields(StrictSchema):
    """What can be set on a site."""

    name = Line(also=_name, metadata={"description": "Unique; stands in addresses.", "example": "shop"})
    write_key = fields.String(
        validate=_KEY,
        metadata={"description": "Public: lets a page report. Made where left out."},
    )
    secret_key = fields.String(
        validate=[
            validate.Length(32, 200),
            validate.Regexp(r"[!-~]+\Z", error="Must be printable ASCII without spaces."),
        ],
        metadata={"description": "Signs user ids (userHash). Shown to administrators only. Made where left out."},
    )
    origins = fields.List(
        Origin(metadata={"example": "https://shop.example"}),
        validate=validate.Length(max=100),
        metadata={"description": "Pages that may report and receive; empty: all."},
    )
    timezone = TimeZone(metadata={"description": "Its IANA name; UTC where left out.", "example": "Europe/Vienna"})
    currency = Currency(metadata={"description": "Of all its money; USD where left out.", "example": "EUR"})
    stages = StageList(
        metadata={
            "type": "array",
            "items": {
                "anyOf": [
                    {"type": "string", "enum": list(STAGES)},
                    {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "enter": CONDITION, "leave": CONDITION},
                        "required": ["name"],
                    },
                ]
            },
            "description": "The funnel in order: built-in stages by name, and own ones. Who is in several is in the "
            "furthest, who is in none in the first. An own one is entered when `enter` holds, and left when it no "
            "longer does, or with `leave` when that holds. Another definition is applied to all stored events (see "
            "`GET funnel`); no rule starts by that.",
            "example": [
                *("new", "interested"),
                {"name": "trial", "enter": {"performed": "Trial Started"}, "leave": {"performed": "Trial Ended"}},
                "customer",
            ],
        },
    )
    policy = fields.Nested(PolicyFields, metadata={"description": "What the site allows."})
    capture = fields.Nested(CaptureFields, metadata={"description": "What its pages report by themselves."})
    attention = fields.Nested(AttentionFields, metadata={"description": "What its pages mind before they interrupt."})


class SiteIn(SiteFields):
    """A new site."""

    name = Line(also=_name, required=True, metadata={"description": "Unique; stands in addresses.", "example": "shop"})


class SitePatch(SiteFields):
    """What is to change on a site; what is left out stays."""


class SiteOut(SiteFields):
    """A site as it is kept."""

    id = fields.String(metadata={"description": "32 hexadecimal digits."})
    created_at = Moment()
    webhook_secret = fields.String(
        metadata={
            "description": "Signs webhooks; follows from secret_key. Shown to administrators only.",
            "example": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        }
    )

    class Meta:
        unknown = EXCLUDE


class _Document(SiteFields):
    policy = fields.Nested(PolicyFields, unknown=EXCLUDE)
    capture = fields.Nested(CaptureFields, unknown=EXCLUDE)
    attention = fields.Nested(AttentionFields, unknown=EXCLUDE)

    class Meta:
        fields = ("origins", "timezone", "currency", "stages", "policy", "capture", "attention")
        unknown = EXCLUDE


_document = _Document()
_policy_names = tuple(PolicyFields().fields)


def changed(site: Site, changes: Mapping[str, Any], funnel: Funnel | None = None) -> Site:
    """The site with what `SitePatch` or `SiteIn` loaded put in; its parts are merged key by key.

    `funnel` is what its `stages` make.
    """
    values = {key: value for key, value in changes.items() if key != "stages"}
    if funnel is not None:
        values["funnel"] = funnel
    if "origins" in values:
        values["origins"] = tuple(values["origins"])
    if "policy" in values:
        values["policy"] = replace(site.policy, **_policy(values["policy"], site.policy.consent))
    if "attention" in values:
        values["attention"] = replace(site.attention, **_attention(values["attention"]))
    values["capture"] = capture_of(site) | values.get("capture", {})
    return replace(site, **values)


def dump_document(site: Site) -> str:
    """The site without id, name and keys, as the JSON text of its column."""
    document = _document.dump(site_view(site))
    return json.dumps(document | {"stages_revision": site.funnel.revision}, ensure_ascii=False)


def load_document(text: str) -> dict[str, Any]:
    """The fields of `Site` that the column holds; what a later version may have added is left out."""
    told = json.loads(text)
    values = _document.load({key: value for key, value in told.items() if key != "stages"})
    return {
        **values,
        "origins": tuple(values.get("origins", ())),
        "funnel": _funnel(told.get("stages", STAGES), told.get("stages_revision", 0)),
        "policy": Policy(**_policy(values.get("policy", {}), NOTHING_ASKED)),
        "capture": {**CAPTURE, **values.get("capture", {})},
        "attention": Attention(**_attention(values.get("attention", {}))),
    }


def _policy(told: Mapping[str, Any], consent: ConsentPolicy) -> dict[str, Any]:
    values = dict(told)
    if "consent" in values:
        asked = replace(consent, **values["consent"])
        values["consent"] = NOTHING_ASKED if asked == NOTHING_ASKED else asked
    if "placeholders" in values:
        values["placeholders"] = tuple(values["placeholders"])
    if "hide_query" in values:
        values["hide_query"] = tuple(dict.fromkeys(name.lower() for name in values["hide_query"]))
    return values


def _funnel(document: list[Any], revision: int) -> Funnel:
    """The funnel that was kept; the built-in one where this version of chimein no longer understands it."""
    if tuple(document) == STAGES:
        return replace(BUILT_IN, revision=revision) if revision else BUILT_IN
    mistakes = Mistakes(lenient=True)
    stages = read_stages(document, (), mistakes)
    if mistakes:
        return replace(BUILT_IN, revision=revision)
    return Funnel(stages=stages, document=tuple(document), revision=revision)


def _attention(told: Mapping[str, Any]) -> dict[str, Any]:
    return {**told, "checkout": tuple(told["checkout"])} if "checkout" in told else dict(told)


def site_view(site: Site) -> dict[str, Any]:
    """The site as `SiteOut` dumps it, secrets included: leave those out for whoever may not see them."""
    return {
        **{name: getattr(site, name) for name in ("id", "name", "write_key", "secret_key", "timezone", "currency")},
        "webhook_secret": webhook_secret(site.secret_key),
        "origins": list(site.origins),
        "stages": list(site.funnel.document),
        "policy": {name: getattr(site.policy, name) for name in _policy_names},
        "capture": capture_of(site),
        "attention": attention_view(site.attention),
    }
