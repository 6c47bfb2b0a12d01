"""What must never be kept? Passwords, cards, codes of one use, secrets in addresses; and where somebody is, exactly.

What the page lets pass by mistake is taken out here, before an event lies anywhere. `suspicious` is quick; only what it
finds is looked at closely.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any
from urllib.parse import unquote

from backend.domain import consent

SECRET_FIELD = re.compile(
    r"pass(?!enger|age|ion|port)|pwd|card|cvv|cvc|csc(?![a-z])|iban|ssn|otp(?![a-z])|one.?time|secret|token"
    r"|(?:^|[^a-z])(?:pin|tan|2fa|mfa|code_?2fa)(?:$|[^a-z])",
    re.IGNORECASE,
)
"""Names of form fields whose values stay with the visitor."""

_BEFORE = (
    "",
    "user",
    "new",
    "old",
    "current",
    "confirm",
    "account",
    "login",
    "credit",
    "debit",
    "payment",
    "bank",
    "cc",
)
_SECRETS = (
    *("password", "passwd", "pass word", "passcode", "passphrase", "pwd", "cvv", "cvv2", "cvc", "cvc2", "pan", "iban"),
    *("card number", "cardnumber", "card no", "cc number", "cc num", "ccnum", "otp", "totp", "one time code"),
    *("one time password", "onetimecode", "secret", "access token", "refresh token", "auth token", "session token"),
    *("id token", "password confirmation", "confirm password", "card cvc", "card cvv", "security code"),
)


def _spellings() -> Iterable[str]:
    """Every such name as people write names: snake_case, kebab-case, camelCase, PascalCase, in one."""
    for before in _BEFORE:
        for secret in _SECRETS:
            words = f"{before} {secret}".split()
            capitals = [word.capitalize() for word in words]
            yield from ("_".join(words), "-".join(words), "".join(words), "".join(capitals), "_".join(words).upper())
            yield words[0] + "".join(capitals[1:])


SECRET_KEYS = frozenset(_spellings()) - {"Pan", "newSecret"}
"""Names of properties whose values are not kept, whatever the event."""

SECRET_QUERY = re.compile(
    r".*(?:token|passw|passwd|pwd|secret|api_?key|jwt|one_?time|signature).*|auth|sid|session_?id|otp",
    re.IGNORECASE,
)
"""Names of query parameters whose values are not kept."""

_ID_KEY = re.compile(
    r".*(?:id|ids|gtin\d*|ean\d*|upc|isbn\d*|sku|barcode|mpn|phone|mobile|timestamp|time)|tel|ts|at|.*_(?:at|no)",
    re.IGNORECASE,
)
"""Names under which a long number is an id, a bar code or a time, which may pass the check of cards by chance."""

_ADDRESS_KEYS = frozenset(
    {"ip", "ipaddress", "ip_address", "client_ip", "clientip", "user_ip", "userip", "remote_addr", "remoteaddr"}
    | {"remote_address", "remoteaddress", "remote_ip", "remoteip", "x-forwarded-for", "x_forwarded_for", "x-real-ip"}
)
"""Names of properties that hold an IP address, in lower case."""

_LOOKED_AT = (
    SECRET_KEYS
    | _ADDRESS_KEYS
    | {"IP", "Ip", "ipAddress", "IPAddress", "clientIp", "clientIP", "userIp", "userIP", "REMOTE_ADDR", "remoteAddr"}
    | {"remoteAddress", "remoteIp", "remoteIP", "X-Forwarded-For", "X-Real-IP"}
)
_RUN = re.compile(r"(?<![\d+])\d(?:[ \u00a0.-]?\d){12,}")
_AROUND = re.compile(r"[0-9A-Fa-f-]{0,100}\Z")
_HEX_ID = re.compile(r"(?=(?:-?[0-9A-Fa-f]){24})(?=[0-9-]*[A-Fa-f])[0-9A-Fa-f-]{24,100}(?![0-9A-Za-z]).*", re.DOTALL)
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\d.])")
_PARAMETER = re.compile(r"(?<=[?&#;])([^=&#;?]{1,100})=([^&#;]*)")
_QUERY_SIGNS = (
    *("token", "passw", "pwd", "secret", "key=", "jwt", "one_time", "onetime", "signature", "auth=", "sid="),
    *("session", "otp="),
)
_BARE_PARAMETER = re.compile(r"(?<![^?&#;])([^=&#;?]{1,100})=([^&#;]*)")

CHAT_FORM = "chimein-chat"
"""In which the chat itself asks for an address to answer to: that is on no site's list, and given on purpose."""

FORM_EVENT = "Form Field Filled"
_BETWEEN_WORDS = re.compile(r"[\s-]+")
_CLOSELY = frozenset({FORM_EVENT, consent.EVENT})


def suspicious(
    name: str | None, bags: Iterable[Mapping[str, Any] | None], context: Mapping[str, Any] | None, also: Collection[str]
) -> bool:
    """Whether an event may hold something that must not be kept; `bags` are its properties and traits.

    `also` as in `clean`. Quick where it says no, which is nearly always.
    """
    if name in _CLOSELY:
        return True
    for bag in bags:
        if bag and _bag_suspicious(bag, also):
            return True
    if context:
        if not _LOOKED_AT.isdisjoint(context):
            return True
        page = context.get("page")
        if page.__class__ is dict:
            for key in ("url", "search", "referrer"):
                value = page.get(key)
                if value.__class__ is str and "=" in value and _query_suspicious(value, also):
                    return True
        traits = context.get("traits")
        return traits.__class__ is dict and _bag_suspicious(traits, also)
    return False


def _bag_suspicious(bag: Mapping[str, Any], also: Collection[str]) -> bool:
    if not _LOOKED_AT.isdisjoint(bag):
        return True
    for key, value in bag.items():
        kind = value.__class__
        if kind is str:
            if len(value) > 4 and (
                ("=" in value and _query_suspicious(value, also))
                or (len(value) > 12 and _RUN.search(value) is not None and not _may_be_long(key))
            ):
                return True
        elif kind is int:
            if value >= 10**12 and not _may_be_long(key):
                return True
        elif kind is dict:
            if _bag_suspicious(value, also):
                return True
        elif kind is list and any(
            _bag_suspicious(each if each.__class__ is dict else {key: each}, also) for each in value
        ):
            return True
    return False


@lru_cache(maxsize=4_096)
def _may_be_long(key: str) -> bool:
    """Whether a long number under this name is none to look at."""
    return _ID_KEY.fullmatch(key) is not None


def _query_suspicious(text: str, also: Collection[str]) -> bool:
    if "%" in text:
        text = unquote(text)
    lowered = text.lower()
    for sign in _QUERY_SIGNS:
        if sign in lowered:
            return True
    if also and any(f"{name}=" in lowered for name in also):
        return True
    return len(text) > 13 and _RUN.search(text) is not None


def is_card(digits: str) -> bool:
    """Whether these 13 to 19 digits pass the check (Luhn's) of card numbers."""
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def without_cards(text: str, *, strictly: bool = False) -> str:
    """The text without card numbers, in however many groups they are written.

    `strictly`: whatever the number begins with; else only those that begin as cards that people have do, since other
    numbers pass the check by chance. Digits amid a long hexadecimal id are none.
    """

    def kept(run: re.Match[str]) -> str:
        around = _AROUND.search(text[: run.start()])
        id_like = _HEX_ID.fullmatch((around[0] if around else "") + text[run.start() :].split(maxsplit=1)[0])
        return run[0] if id_like else _without_cards(run[0], strictly)

    return _RUN.sub(kept, text)


def _without_cards(run: str, strictly: bool) -> str:
    groups = [(found.start(), found.end()) for found in re.finditer(r"\d+", run)]
    for first in range(len(groups)):
        digits = ""
        for last in range(first, len(groups)):
            begin, end = groups[last]
            if last > first and not (2 <= end - begin <= 7 and len(digits) <= 19):
                break
            digits += run[begin:end]
            if is_card(digits) and (strictly or digits[0] in "23456"):
                rest = run[end:]
                return f"{run[: groups[first][0]]}[card]{_without_cards(rest, strictly) if rest else ''}"
            if last == first and end - begin > 7:
                break
    return run


def truncated(text: str) -> str:
    """A text with IP addresses in it without what tells one household from another: /24, or /48 of IPv6."""
    found = _IPV4.sub(lambda address: _cut(address[0]), text)
    if found != text or ":" not in text:
        return found
    return ", ".join(_cut(part.strip()) for part in text.split(","))


def _cut(address: str) -> str:
    try:
        found = ip_address(address.strip("[]").partition("%")[0])
    except ValueError:
        return address
    bits = 24 if isinstance(found, IPv4Address) else 48
    return str(ip_network((found, bits), strict=False).network_address)


def without_query_secrets(address: str, also: Collection[str] = (), *, bare: bool = False) -> str:
    """An address with the values of parameters taken out that carry secrets; `also` are further names, in lower case.

    `bare`: it is a query without its question mark.
    """

    def emptied(found: re.Match[str]) -> str:
        name = unquote(found[1]).lower()
        if name in also or SECRET_QUERY.fullmatch(name):
            return f"{found[1]}="
        value = found[2] if _ID_KEY.fullmatch(name) else without_cards(found[2])
        return f"{found[1]}={value}"

    return (_BARE_PARAMETER if bare else _PARAMETER).sub(emptied, address)


def clean(event: Mapping[str, Any], also: Collection[str] = (), forms: Collection[str] | None = None) -> dict[str, Any]:
    """An event as a sender wrote it, without what must not be kept; equal to it where nothing had to go.

    `also` are further query parameters to empty, `forms` the fields whose values may be kept (None: any). Ids and times
    stay as they are: without them it would be no event.
    """
    told = {key: value if key in _IDS else _cleaned(key, value, also, 0) for key, value in event.items()}
    if event.get("event") == consent.EVENT:
        only = consent.answer_only(told.get("context"))
        if False in only["consent"]["categoryPreferences"].values():
            # Whoever refuses to be observed is not observed by that: who answers, when and what.
            return {key: value for key, value in told.items() if key in _IDS} | {"context": only}
    properties = told.get("properties")
    if event.get("event") == FORM_EVENT and isinstance(properties, dict):
        asked = properties.get("form") == CHAT_FORM and properties.get("field") == "email"
        listed = forms is None or asked or _plain(properties.get("field")) in _listed(tuple(forms))
        if not listed or _is_secret(event["properties"]):
            told["properties"] = {key: value for key, value in properties.items() if key != "value"}
    return told


def _plain(name: Any) -> str | None:
    """The name of a form field as it is compared, here and in the page: `billing[First-Name]` is first_name."""
    if not isinstance(name, str):
        return None
    inner = name[:-1].rpartition("[")[2] if name.endswith("]") else ""
    return _BETWEEN_WORDS.sub("_", (inner or name).lower())


@lru_cache(maxsize=256)
def _listed(forms: tuple[str, ...]) -> frozenset[str | None]:
    return frozenset(map(_plain, forms)) - {None}


def _is_secret(properties: Mapping[str, Any]) -> bool:
    """Whether the value of a form field must stay with the visitor."""
    names = [properties.get(key) for key in ("field", "name", "id", "autocomplete", "type")]
    if any(isinstance(name, str) and SECRET_FIELD.search(name) for name in names):
        return True
    value = properties.get("value")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return isinstance(value, str) and without_cards(value, strictly=True) != value


_IDS = frozenset(
    {"type", "event", "anonymousId", "userId", "messageId", "timestamp", "originalTimestamp", "sentAt", "writeKey"}
    | {"previousId", "groupId"}
)
_DEEPEST = 70


def _cleaned(key: str, value: Any, also: Collection[str], depth: int) -> Any:
    if isinstance(value, dict):
        if depth > _DEEPEST:
            return {}
        return {
            name: _cleaned(name, each, also, depth + 1)
            for name, each in value.items()
            if isinstance(each, dict | list) or each is None or name not in SECRET_KEYS
        }
    if isinstance(value, list):
        return [_cleaned(key, each, also, depth + 1) for each in value] if depth <= _DEEPEST else []
    if isinstance(value, str):
        return _cleaned_text(key, value, also)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 10**12 and not _ID_KEY.fullmatch(key):
        text = str(value)
        return None if text[0] in "23456" and is_card(text) else value
    return value


def _cleaned_text(key: str, value: str, also: Collection[str]) -> str:
    if key.lower() in _ADDRESS_KEYS:
        return truncated(value)
    if value.startswith(("http://", "https://", "/", "?", "#")):
        return without_query_secrets(value, also) if "=" in value else value  # a path may hold a bar code
    if key == "search" and "=" in value:
        return without_query_secrets(value, also, bare=True)
    return value if _ID_KEY.fullmatch(key) else without_cards(value)
