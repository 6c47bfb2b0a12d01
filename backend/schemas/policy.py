"""How a site's policy is written: what it allows, asks for and keeps."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from marshmallow import ValidationError, fields, validate

from backend.domain.calendar import read_quiet_hours
from backend.domain.consent import CATEGORIES, NOTHING_ASKED
from backend.domain.desk import read_desk
from backend.domain.desk_policy import LONGEST_WAIT
from backend.domain.duration import format_duration
from backend.domain.fact import read_levels, read_rfm
from backend.domain.mistakes import Mistakes
from backend.domain.rule.limits import read_caps
from backend.domain.site import Policy
from backend.domain.webhook import SHORTEST_RETENTION
from backend.schemas.fields import Duration, Flag, Line, StrictSchema


def _retention(span: timedelta) -> None:
    if span < SHORTEST_RETENTION:
        raise ValidationError(f"Must be at least {format_duration(SHORTEST_RETENTION)}.")


def _region(code: str | None) -> None:
    import phonenumbers  # takes its time to load, and only this looks at all regions

    if code is not None and code not in phonenumbers.SUPPORTED_REGIONS:
        raise ValidationError("Must be the two capital letters of a country, such as AT.")


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
        metadata={
            "description": "Before an event is stored. Who refuses it gets no promotional message either, unless they "
            "agree to that message's own category at the same moment or later; of them the refusal alone is kept.",
            "example": "analytics",
        },
    )
    show = fields.String(
        allow_none=True,
        validate=validate.OneOf(CATEGORIES),
        metadata={"description": "Before a promotional message is shown on the site.", "example": "marketing"},
    )
    mail = fields.String(
        allow_none=True,
        validate=validate.OneOf(CATEGORIES),
        metadata={
            "description": "Before a promotional message is sent elsewhere, or a webhook of a promotional rule tells "
            "another system of somebody.",
            "example": "marketing",
        },
    )


def _a_week(span: timedelta | None) -> None:
    if span is not None and span > LONGEST_WAIT:
        raise ValidationError(f"Must be at most {format_duration(LONGEST_WAIT)}.")


class DeskFields(StrictSchema):
    """How a site's conversations are kept."""

    mail_after = Duration(
        allow_none=True,
        validate=_a_week,
        metadata={
            "description": "So long after the last thing that an operator said and the visitor has not seen, it goes "
            "out as mail, to an address that may be used; null: never.",
            "example": "5m",
        },
    )
    keep = Duration(
        allow_none=True,
        validate=_a_day,
        metadata={
            "description": "So long after the last thing in it a conversation goes, with its files and mails; null: it "
            "stays. Events go by `retention`.",
            "example": "730d",
        },
    )


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
            "description": "When nothing is sent to people who are elsewhere (pop-up and chat answer those who "
            'are here), in their own time zone, else the site\'s. Also weekdays (["sat", "sun"]), holidays (["12-25", '
            '"2026-04-06"], quiet all day), channels (those that keep quiet); then is next_available or abort.',
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
    texts = fields.Dict(
        keys=fields.String(
            validate=validate.Regexp(r"([a-z]{2,3}|\*)\Z", error="Must be a language such as ru, or * for any.")
        ),
        values=fields.Dict(
            keys=fields.String(validate=validate.Regexp(r"[a-z_]{1,40}\Z", error="Must be the name of a text.")),
            values=fields.String(validate=validate.Length(1, 300)),
            validate=validate.Length(max=100),
        ),
        validate=validate.Length(max=20),
        metadata={
            "description": "Words of the chat that say it otherwise, by language and name: `chat` its name, `greeting` "
            "and `welcome` what stands above, and the others as they are listed in the SDK's README.",
            "example": {"en": {"chat": "Ask us"}, "ru": {"chat": "Спросите нас"}},
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
    conversation = fields.Nested(DeskFields, metadata={"description": "How its conversations are kept."})
    access_log_kept = Duration(
        validate=_a_day, metadata={"description": "How long it is remembered who looked at whom.", "example": "400d"}
    )
    desk = Written(
        read_desk,
        allow_none=True,
        metadata={
            "description": "How conversations are answered. `hours`: the working hours, by the clock of `zone` "
            "(`windows` with `from`, `to` and `weekdays`, several a day, also over midnight; `holidays`; `exceptions`, "
            "days with hours of their own, `[]` for closed); null: always. `routing`: manual (operators take what "
            "waits), round_robin (each in turn who is online and has room), previous (who answered this visitor "
            "last, else in turn). `unanswered_after`: after so much working time the next operator gets it, and "
            "where nobody else is there the visitor is told so, and asked for an e-mail address where none is "
            "known. `texts` stand in for what is then said, by language: closed (with {when}), busy, ask. "
            "`digest_after` (30m): operators are told by mail, once an hour at most, of whoever waits longer; null: "
            "never.",
            "example": {
                "hours": {
                    "zone": "Europe/Vienna",
                    "windows": [
                        {"from": "09:00", "to": "13:00", "weekdays": ["mon", "tue", "wed", "thu", "fri"]},
                        {"from": "14:00", "to": "18:00", "weekdays": ["mon", "tue", "wed", "thu"]},
                    ],
                    "holidays": ["12-25", "2027-03-29"],
                    "exceptions": [{"date": "2026-12-24", "windows": [{"from": "09:00", "to": "12:00"}]}],
                },
                "routing": "previous",
                "unanswered_after": "5m",
                "texts": {"closed": {"en": "We are back {when}."}},
            },
        },
    )


_names = tuple(PolicyFields().fields)


def policy_view(policy: Policy) -> dict[str, Any]:
    """The policy as `PolicyFields` dumps it."""
    return {name: getattr(policy, name) for name in _names}


def policy_values(told: Mapping[str, Any], before: Policy) -> dict[str, Any]:
    """What `PolicyFields` loaded as fields of `Policy`; what is told of one of its parts is put into that part."""
    values, consent = dict(told), before.consent
    if "conversation" in values:
        values["conversation"] = replace(before.conversation, **values["conversation"])
    if "consent" in values:
        asked = replace(consent, **values["consent"])
        values["consent"] = NOTHING_ASKED if asked == NOTHING_ASKED else asked
    if "placeholders" in values:
        values["placeholders"] = tuple(values["placeholders"])
    if "hide_query" in values:
        values["hide_query"] = tuple(dict.fromkeys(name.lower() for name in values["hide_query"]))
    return values
