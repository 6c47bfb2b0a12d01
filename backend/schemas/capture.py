"""How is written what a site's pages report by themselves, and what they mind before they interrupt."""

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlencode

from marshmallow import ValidationError, fields, validate

from backend.domain.duration import parse_duration
from backend.domain.site import Attention, Site
from backend.schemas.fields import Duration, Flag, Line, StrictSchema, Whole

CAPTURE: Mapping[str, Any] = {
    "page_views": True,
    "search_params": ["q", "s", "query", "search", "keyword"],
    "clicks": "[data-chimein-event]",
    "forms": [
        *("name", "first_name", "last_name", "email", "phone", "tel", "company", "city"),
        *("message", "comment", "subject"),
    ],
    "data_layer": "dataLayer",
    "signals": "asked",
    "time_on_page": [10, 30, 60, 120, 300],
    "scroll_depth": [25, 50, 75, 100],
    "exit_intent": True,
}
"""What the page reports by itself unless the site says otherwise."""

SIGNALS: Mapping[str, str] = {
    "time_on_page": "Time On Page",
    "scroll_depth": "Scrolled",
    "exit_intent": "Exit Intent",
}
"""What a page notices without a click, and the events that tell of it."""

SIGNALS_SCRIPT = "/chimein-signals.js"
LONGEST_WAIT = parse_duration("10m")


def _ascending(marks: list[int]) -> None:
    if sorted(set(marks)) != marks:
        raise ValidationError("Must ascend, each mark once.")


def _wait(span: Any) -> None:
    if span > LONGEST_WAIT:
        raise ValidationError("At most 10m: nobody stays that long on one page.")


def _path(pattern: str) -> None:
    if not pattern.startswith(("/", "*")):
        raise ValidationError("Must be a path such as /checkout*; * stands for any characters, slashes too.")


class CaptureFields(StrictSchema):
    """What the page reports by itself."""

    page_views = Flag(metadata={"description": "Report each page, also those of single-page applications."})
    search_params = fields.List(
        Line(), validate=validate.Length(max=50), metadata={"description": "Query parameters that hold a search."}
    )
    clicks = fields.String(
        validate=validate.Length(max=1000), metadata={"description": "A CSS selector: clicks on these are reported."}
    )
    forms = fields.List(
        Line(),
        validate=validate.Length(max=200),
        metadata={
            "description": "Names of form fields that may be reported; never passwords, cards or hidden fields. Of any "
            "other field that is sent with the write key alone, the value is dropped: a backend that may tell more "
            "gives the secret key as Basic password."
        },
    )
    data_layer = fields.String(
        validate=validate.Regexp(r"[A-Za-z_$][A-Za-z0-9_$]{0,99}\Z|\Z", error="Must be a JavaScript name, or empty."),
        metadata={"description": "The GA4 data layer to read e-commerce events from; empty: none."},
    )
    signals = fields.String(
        validate=validate.OneOf(("asked", "always", "never")),
        metadata={
            "description": "When the page reports Time On Page, Scrolled and Exit Intent: each where an active rule "
            "names that event (asked), on every page, or never. They are several events a page, so nobody pays for "
            "what no rule reads; a rule that counts them in the past needs always."
        },
    )
    time_on_page = fields.List(
        Whole(validate=validate.Range(1, 3600)),
        validate=[validate.Length(max=10), _ascending],
        metadata={"description": "Seconds in sight after which Time On Page is reported, as its `seconds`."},
    )
    scroll_depth = fields.List(
        Whole(validate=validate.Range(1, 100)),
        validate=[validate.Length(max=10), _ascending],
        metadata={"description": "Percent of the page that were seen when Scrolled is reported, as its `depth`."},
    )
    exit_intent = Flag(
        metadata={"description": "Report Exit Intent: the pointer leaves by the top, or a finger hurries back up."}
    )


class AttentionFields(StrictSchema):
    """What its pages mind before a pop-up comes into sight."""

    settle = Duration(validate=_wait, metadata={"description": "No pop-up so soon on a page.", "example": "2s"})
    after_error = Duration(
        validate=_wait,
        metadata={
            "description": "No pop-up so soon after a refused form, a script's error, or an event that tells of one.",
            "example": "5s",
        },
    )
    checkout = fields.List(
        Line(longest=500, also=_path),
        validate=validate.Length(max=50),
        metadata={
            "description": "Paths on which nobody is disturbed; * stands for any characters. Beside these, whoever "
            "reported Checkout Started is in checkout until the order, or until they look at products again.",
            "example": ["*/checkout*"],
        },
    )
    teaser_first = Flag(
        metadata={
            "description": "A pop-up whose rule does not say how it is to be displayed comes as a small bubble first."
        }
    )
    launcher = Flag(
        metadata={
            "description": "The chat's button stands on every page; else it comes with the first message, and the page "
            "may open the chat itself: chimein.open()."
        }
    )
    sound = Flag(metadata={"description": "A soft sound tells of an answer, unless the visitor mutes it."})


def capture_of(site: Site) -> dict[str, Any]:
    """What the site's pages report by themselves, with the defaults filled in."""
    return {**CAPTURE, **site.capture}


def attention_view(attention: Attention) -> dict[str, Any]:
    """The part as `AttentionFields` dumps it."""
    return {name: getattr(attention, name) for name in ATTENTION_NAMES}


ATTENTION_NAMES = tuple(AttentionFields().fields)


def page_capture(site: Site, asked: Collection[str]) -> dict[str, Any]:
    """What a page is told to capture; `asked` are the events by which active rules ask for signals."""
    capture = capture_of(site)
    when = capture.pop("signals")
    for name, event in SIGNALS.items():
        if when == "never" or (when == "asked" and event not in asked) or not capture[name]:
            del capture[name]
    return capture


def page_signals(capture: Mapping[str, Any]) -> str | None:
    """Where a page finds the script that reports these signals, told what to report; None where nobody asks."""
    asked = {
        name: ",".join(map(str, marks)) if isinstance(marks := capture[name], list) else "1"
        for name in SIGNALS
        if name in capture
    }
    return f"{SIGNALS_SCRIPT}?{urlencode(asked, safe=',')}" if asked else None


def page_attention(site: Site) -> dict[str, Any]:
    """What a page is told to mind; times in seconds."""
    attention = site.attention
    return {
        "settle": attention.settle.total_seconds(),
        "after_error": attention.after_error.total_seconds(),
        "checkout": list(attention.checkout),
        "teaser_first": attention.teaser_first,
    }
