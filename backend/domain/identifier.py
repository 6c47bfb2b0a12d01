"""By what is a person named or reached? Kinds of identifiers, the one spelling of each, and values that name nobody."""

import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email

from backend.domain.profile import Identifier
from backend.domain.site import Policy

KINDS = ("anonymous_id", "user_id", "email", "phone", "telegram", "whatsapp", "viber")
"""Every kind of identifier; the last five lead to a person, and can be typed into a form."""

CONTACTS = KINDS[2:]
"""Kinds that lead to a person; each is also the name of the trait that tells of it."""

SOURCES = ("event", "form_field", "identify", "signed", "api", "operator", "reply", "double_opt_in")
"""Where an identifier can be from: `event` is the browser's own id, `form_field` mere typing."""

FORM_FIELDS = {
    **{kind: kind for kind in CONTACTS},
    "e-mail": "email",
    "mail": "email",
    "tel": "phone",
    "mobile": "phone",
}
"""Names of form fields that ask for an address, and its kind."""

NOTED = "Identifier Noted"
"""The signal by which an identifier comes from elsewhere than a page: `kind`, `value`, `source`, and `verified`."""

IDENTIFIER_LIMIT = 50
LONGEST = 255

PLACEHOLDERS = frozenset(
    {
        *("null", "(null)", "undefined", "none", "nil", "nan", "n/a", "[object object]", "true", "false", "-1"),
        *("{}", "[]", "anonymous", "guest", "unknown", "not set", "(not set)", "user_id", "userid", "test@test.com"),
        *("email@email.com", "00000000-0000-0000-0000-000000000000"),
    }
)
"""What programs send that know nobody's id, in lower case; beside zeros, however many, and templates not filled in."""

_NOTHING = re.compile(r"0*|\{\{.*\}\}|\{%.*%\}|\$\{.*\}|<%.*%>|%%.*%%|\*\|.*\|\*|\[object \w+\]", re.DOTALL)
_TEMPLATES = ("{{", "{%", "${", "<%", "%%", "*|", "[o")
_LONGEST_TEMPLATE = 80
_NUMBER = re.compile(r"[\d\s()./+-]*")
_TELEGRAM = re.compile(r"(?:(?:https?://)?t\.me/|@)?([a-z][a-z0-9_]{4,31}|\d{1,20})")


class Reading:
    """How a site reads what it is told of people: the region of its phone numbers, and what names nobody there."""

    __slots__ = ("_known", "begins", "longest", "nobody", "region")

    def __init__(self, region: str | None = None, placeholders: Collection[str] = ()) -> None:
        self.region = region
        self.nobody = PLACEHOLDERS.union(_folded(each) for each in placeholders)
        self.longest = max(_LONGEST_TEMPLATE, *map(len, self.nobody))
        self.begins = frozenset((*_TEMPLATES, *(each[:2] for each in self.nobody)))
        """With what the values begin that name nobody; those of one letter, of zeros and of blanks aside."""
        self._known: dict[str, bool] = {}

    @classmethod
    def of(cls, policy: Policy) -> "Reading":
        """As the site's policy has it."""
        return cls(policy.phone_region, policy.placeholders)

    def names_nobody(self, value: str) -> bool:
        """Whether this is no id at all, but what a program writes that has none."""
        if len(value) > self.longest:
            return not value.strip("0 ")
        known = self._known.get(value)
        if known is None:
            folded = _folded(value)
            known = folded in self.nobody or _NOTHING.fullmatch(folded) is not None
            if len(self._known) < 10_000:
                self._known[value] = known
        return known


PLAIN = Reading()
"""As a site reads that has no policy of its own."""


def normalised(kind: str, value: str, region: str | None = None) -> str | None:
    """The one spelling of an address; None where it is none of this kind.

    A phone number of no country is one of `region`; without a region only those that begin with + can be told.
    """
    if len(value) > LONGEST:
        return None
    if kind == "email":
        return _email(value)
    if kind == "telegram":
        found = _TELEGRAM.fullmatch(value.strip().lower())
        return None if found is None else found[1]
    if kind in ("phone", "whatsapp", "viber"):
        return _phone(value, region)
    return value


def as_known(kind: str, value: str, region: str | None = None) -> str:
    """The spelling under which an identifier is kept: the normalised one, else as it was typed."""
    found = normalised(kind, value, region)
    if found is not None:
        return found
    typed = value.strip()[:LONGEST]
    return typed.lower() if kind == "email" else typed


def noted(known: tuple[Identifier, ...], fresh: Identifier) -> tuple[Identifier, ...]:
    """The identifiers with one more; the same from the same source is one, seen from the first time to the last."""
    for index, each in enumerate(known):
        if each.kind == fresh.kind and each.value == fresh.value and each.source == fresh.source:
            return (*known[:index], joined(each, fresh), *known[index + 1 :])
    return (*known, fresh) if len(known) < IDENTIFIER_LIMIT else known


def joined(a: Identifier, b: Identifier) -> Identifier:
    """Two sightings of one identifier from one source: the place is that of the later one."""
    place = max(a, b, key=lambda each: (each.last_seen, each.page or "", each.field or ""))
    return replace(
        a,
        first_seen=min(a.first_seen, b.first_seen),
        last_seen=max(a.last_seen, b.last_seen),
        verified_at=min((each for each in (a.verified_at, b.verified_at) if each), default=None),
        page=place.page,
        field=place.field,
    )


def verified(identifiers: Iterable[Identifier]) -> dict[tuple[str, str], datetime]:
    """Since when each (kind, value) is proven to be this person's; what nobody proved is left out."""
    found: dict[tuple[str, str], datetime] = {}
    for each in identifiers:
        if each.verified_at is not None:
            key = (each.kind, each.value)
            found[key] = min(each.verified_at, found.get(key, each.verified_at))
    return found


def merely_typed(identifiers: Iterable[Identifier], kind: str, value: str) -> bool:
    """Whether a form field is all that this value is known from, and nobody has proven it: then it may be anybody's."""
    found = [each for each in identifiers if each.kind == kind and each.value == value]
    return bool(found) and all(each.source == "form_field" and each.verified_at is None for each in found)


def _folded(value: str) -> str:
    return value.strip().casefold()


@lru_cache(maxsize=10_000)
def _email(value: str) -> str | None:
    try:
        found = validate_email(value.strip(), check_deliverability=False, test_environment=True)
    except (EmailNotValidError, UnicodeError):
        return None
    return found.normalized.lower()[:LONGEST]


@lru_cache(maxsize=10_000)
def _phone(value: str, region: str | None) -> str | None:
    if not _NUMBER.fullmatch(value) or (region is None and not value.lstrip().startswith("+")):
        return None
    # It takes its time to load, and most processes never see a number.
    import phonenumbers

    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
