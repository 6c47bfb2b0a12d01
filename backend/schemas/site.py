"""How a site is written: in the API, and as the JSON column that holds everything but its keys."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from marshmallow import EXCLUDE, ValidationError, fields, validate

from backend.domain.funnel import BUILT_IN, Funnel, read_stages
from backend.domain.mistakes import WHOLE, Mistakes
from backend.domain.profile import STAGES
from backend.domain.site import Attention, Policy, Site
from backend.domain.webhook import webhook_secret
from backend.schemas.capture import CAPTURE, AttentionFields, CaptureFields, attention_view, capture_of
from backend.schemas.condition import CONDITION
from backend.schemas.fields import Currency, Line, Moment, Origin, StrictSchema, TimeZone
from backend.schemas.policy import PolicyFields, policy_values, policy_view
from backend.schemas.rule import WarningOut


def _name(text: str) -> None:
    if "/" in text or text in {".", ".."}:
        raise ValidationError("Must not hold a slash: the name stands in addresses.")
    if re.fullmatch(r"[0-9a-f]{32}", text):
        raise ValidationError("Must not look like an id.")


_KEY = validate.Regexp(r"[A-Za-z0-9_.~-]{1,100}\Z", error="Must be 1 to 100 letters, digits or any of _ . ~ -")


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


class SiteFields(StrictSchema):
    """What can be set on a site."""

    name = Line(also=_name, metadata={"description": "Unique; stands in addresses.", "example": "shop"})
    title = Line(
        allow_none=True,
        metadata={
            "description": "Its name as people read it, in mails and on pages that they lead to; null: `name`.",
            "example": "The Kettle Shop",
        },
    )
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


class SiteChangedOut(SiteOut):
    """A site as it is kept now."""

    warnings = fields.List(
        fields.Nested(WarningOut),
        metadata={"description": "Rules and segments that ask for stages which are gone. Left out where none."},
    )


class _Document(SiteFields):
    policy = fields.Nested(PolicyFields, unknown=EXCLUDE)
    capture = fields.Nested(CaptureFields, unknown=EXCLUDE)
    attention = fields.Nested(AttentionFields, unknown=EXCLUDE)

    class Meta:
        fields = ("title", "origins", "timezone", "currency", "stages", "policy", "capture", "attention")
        unknown = EXCLUDE


_document = _Document()


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
        values["policy"] = replace(site.policy, **policy_values(values["policy"], site.policy))
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
        "policy": Policy(**policy_values(values.get("policy", {}), Policy())),
        "capture": {**CAPTURE, **values.get("capture", {})},
        "attention": Attention(**_attention(values.get("attention", {}))),
    }


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
        **{
            name: getattr(site, name)
            for name in ("id", "name", "title", "write_key", "secret_key", "timezone", "currency")
        },
        "webhook_secret": webhook_secret(site.secret_key),
        "origins": list(site.origins),
        "stages": list(site.funnel.document),
        "policy": policy_view(site.policy),
        "capture": capture_of(site),
        "attention": attention_view(site.attention),
    }
