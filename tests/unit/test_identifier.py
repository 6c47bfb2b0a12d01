"""By what people are named: one spelling each, where it is from, and what names nobody."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.event import SIGNAL, Event
from backend.domain.fold import fold
from backend.domain.identifier import NOTED, Reading, as_known, normalised, verified
from backend.domain.profile import Identifier, Profile, new_profile
from backend.domain.reach import Reach, reach
from backend.domain.signature import is_signed
from backend.domain.site import Policy
from tests.core_fixtures import at


def typed(value: str, moment: datetime, field: str = "email", page: str = "/checkout") -> Event:
    told = {"form": "f", "field": field, "value": value, "page": page}
    return event("Form Field Filled", moment, told)


def event(name: str, moment: datetime, properties: dict[str, Any], **more: Any) -> Event:
    fields: dict[str, Any] = {"message_id": f"{name}{moment}", "type": "track", "anonymous_id": "ann", **more}
    return Event(name=name, timestamp=moment, received_at=moment, properties=properties, **fields)


def after(*events: Event, reading: Reading | None = None) -> Profile:
    profile = new_profile("v", "s")
    for each in events:
        profile = fold(profile, each, reading or Reading())
    return profile


def of_kind(profile: Profile, kind: str) -> list[Identifier]:
    return [each for each in profile.identifiers if each.kind == kind]


@pytest.mark.parametrize(
    ("kind", "value", "region", "expected"),
    [
        ("email", " Ada.Lovelace@Example.COM ", None, "ada.lovelace@example.com"),
        ("email", "ada@bücher.example", None, "ada@bücher.example"),
        ("email", "ada@@example.com", None, None),
        ("email", "ada", None, None),
        ("email", "a" * 300 + "@example.com", None, None),
        ("phone", "+43 (660) 123 45 67", None, "+436601234567"),
        ("phone", "0660 1234567", "AT", "+436601234567"),
        ("phone", "0660 1234567", None, None),
        ("phone", "12", "AT", None),
        ("phone", "call me +43 660 1234567", "AT", None),
        ("phone", "+" + "9" * 200, "AT", None),
        ("whatsapp", "+43 660 1234567", None, "+436601234567"),
        ("telegram", "https://t.me/Ada_L", None, "ada_l"),
        ("telegram", "@Ada_L", None, "ada_l"),
        ("telegram", "a b", None, None),
        ("user_id", " U ", None, " U "),
    ],
)
def test_an_address_has_one_spelling(kind: str, value: str, region: str | None, expected: str | None) -> None:
    assert normalised(kind, value, region) == expected
    if expected is None:
        assert as_known(kind, value, region) == (value.strip().lower() if kind == "email" else value.strip())[:255]
    else:
        assert normalised(kind, expected, region) == expected


@given(st.sampled_from(["email", "phone", "telegram", "whatsapp", "viber"]), st.text(max_size=300), st.booleans())
def test_whatever_is_typed_becomes_an_identifier_or_stays_as_it_is(kind: str, value: str, region: bool) -> None:
    known = as_known(kind, value, "AT" if region else None)
    assert len(known) <= 255
    assert as_known(kind, known, "AT" if region else None) in (known, known.strip())


@pytest.mark.parametrize(
    "value",
    [
        "null",
        "NULL",
        " undefined ",
        "None",
        "NaN",
        "0",
        "0000",
        "0" * 60,
        "[object Object]",
        "[object HTMLInputElement]",
        "{{ user.id }}",
        "{{ customer.external_id | default: 'nobody at all' | json }}",
        "${userId}",
        "<%= current_user.id %>",
        "%%SUBSCRIBER_ID%%",
        "*|UNIQID|*",
        "{}",
        "Guest",
        "",
        "test@test.com",
    ],
)
def test_placeholders_name_nobody(value: str) -> None:
    assert Reading().names_nobody(value)


@pytest.mark.parametrize(
    "value", ["ada", "10", "0a", "nullo", "guest1", "ada@test.com", "x" * 100, "{1}", "a{{b}}", "[object", "%%"]
)
def test_names_are_no_placeholders(value: str) -> None:
    assert not Reading().names_nobody(value)


def test_a_site_has_placeholders_of_its_own() -> None:
    own = Reading.of(Policy(placeholders=("No-Mail@shop.example",)))
    assert own.names_nobody("no-mail@SHOP.example")
    assert own.names_nobody("null")


def test_what_is_typed_into_a_field_is_a_claim_with_its_place() -> None:
    profile = after(
        typed("Ada@Example.com", at(minutes=1)), typed("ada@example.com ", at(minutes=3), "e-mail", "/help")
    )
    [found] = of_kind(profile, "email")
    assert (found.value, found.source, found.page, found.field) == ("ada@example.com", "form_field", "/help", "e-mail")
    assert (found.first_seen, found.last_seen, found.verified_at) == (at(minutes=1), at(minutes=3), None)
    assert reach(profile, ["email"], Policy()) == "unverified_contact"
    assert reach(profile, ["email"], Policy(unverified_email=True)) == Reach("email", "ada@example.com")


def test_whoever_confirms_an_address_can_be_written_to() -> None:
    told = {"kind": "email", "value": "ADA@example.com", "source": "double_opt_in", "verified": True}
    profile = after(typed("ada@example.com", at(minutes=1)), event(NOTED, at(minutes=5), told, type=SIGNAL))
    assert verified(profile.identifiers) == {("email", "ada@example.com"): at(minutes=5)}
    assert reach(profile, ["email"], Policy()) == Reach("email", "ada@example.com")
    assert profile.counts == {"Form Field Filled": 1}, "nobody did that in a page"


def test_a_page_cannot_say_that_an_address_is_verified() -> None:
    told = {"kind": "email", "value": "ada@example.com", "source": "double_opt_in", "verified": True}
    assert verified(after(event(NOTED, at(), told)).identifiers) == {}


def test_what_cannot_be_normalised_is_never_verified() -> None:
    told = {"kind": "phone", "value": "0660 1234567", "source": "api", "verified": True}
    [plain] = of_kind(after(event(NOTED, at(), told, type=SIGNAL)), "phone")
    assert (plain.value, plain.verified_at) == ("0660 1234567", None)
    [austrian] = of_kind(after(event(NOTED, at(), told, type=SIGNAL), reading=Reading("AT")), "phone")
    assert (austrian.value, austrian.verified_at) == ("+436601234567", at())


@pytest.mark.parametrize("value", [None, 1, "", "null", "test@test.com", ["ada@example.com"], {"a": 1}])
def test_no_placeholder_becomes_an_address(value: Any) -> None:
    said = event("Identify", at(), {}, type="identify", user_id="u", traits={"email": value, "plan": "free"})
    told = {"kind": "email", "value": value, "source": "api", "verified": True}
    typing = event("Form Field Filled", at(), {"field": "email", "value": value})
    profile = after(said, typing, event(NOTED, at(), told, type=SIGNAL))
    assert of_kind(profile, "email") == []
    assert profile.traits["plan"] == "free"
    assert reach(profile, ["email"], Policy(unverified_email=True)) == "no_address"


def test_a_signed_user_id_is_proven() -> None:
    said = event("Identify", at(), {}, type="identify", user_id="u", signed=True)
    assert verified(after(said).identifiers) == {("user_id", "u"): at()}


def test_a_token_that_was_good_then_is_good_in_hindsight() -> None:
    import jwt

    secret = "a-secret-key-of-sufficient-length"
    made = jwt.encode({"sub": "u", "aud": "s", "exp": at(hours=1)}, secret, "HS256")
    assert is_signed(secret, "s", "u", made, at(minutes=30))
    assert not is_signed(secret, "s", "u", made, at(hours=2))
    assert not is_signed(secret, "s", "v", made, at(minutes=30))
