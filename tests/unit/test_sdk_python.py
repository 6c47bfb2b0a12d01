"""The Python SDK without a network: how events are written, signed, and read from requests."""

import ast
import collections
import dataclasses
import enum
import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chimein import (
    Client,
    ConfigurationError,
    EventTooLarge,
    InvalidEvent,
    MissingIdError,
    default,
    identity_token,
    track,
    user_hash,
)
from chimein.encoding import encode, time_text
from chimein.snippet import snippet
from chimein.visitor import Visitor

ROOT = Path(__file__).parents[2]


def written(value: Any) -> Any:
    """The value as a server reads it, who is stricter than Python about what JSON is."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(encode({"value": value}).decode(), parse_constant=refuse)["value"]


class Colour(enum.Enum):
    RED = "red"


class Size(str, enum.Enum):  # noqa: UP042 - what older programs have
    LARGE = "l"


@dataclasses.dataclass
class Product:
    name: str
    price: Decimal


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2026, 3, 1, 12, tzinfo=UTC), "2026-03-01T12:00:00+00:00"),
        (date(2026, 3, 1), "2026-03-01"),
        (timedelta(minutes=2), 120.0),
        (Decimal("49.90"), 49.9),
        (Decimal("100.00"), 100),
        (Decimal("NaN"), None),
        (Decimal("1E+400"), None),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"a"}), ["a"]),
        ((1, "x"), [1, "x"]),
        (collections.deque([1, 2]), [1, 2]),
        ({"a": 1}.keys(), ["a"]),
        (collections.ChainMap({"a": 1}), {"a": 1}),
        (Colour.RED, "red"),
        (Size.LARGE, "l"),
        (Product("Lamp", Decimal("9.5")), {"name": "Lamp", "price": 9.5}),
        (b"bytes", "bytes"),
        (float("nan"), None),
        ([float("inf"), 1.5], [None, 1.5]),
        ("a\0b", "a\ufffdb"),
        ("lone \ud800 one", "lone \ufffd one"),
        ("\ud83d\ude00", "😀"),
        ("back\\u0000slash", "back\\u0000slash"),
        (
            {1: "a", None: "b", False: "c", uuid.UUID(int=1): "d"},
            {"1": "a", "null": "b", "false": "c", str(uuid.UUID(int=1)): "d"},
        ),
        ({"\0": {"\udfff"}}, {"\ufffd": ["\ufffd"]}),
        ("שלום 🙂 привет", "שלום 🙂 привет"),
    ],
    ids=repr,
)
def test_each_python_value_is_written_as_its_nearest_json_value(value: Any, expected: Any) -> None:
    assert written(value) == expected


ANY_TEXT = st.text(st.characters())  # surrogates too
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
)


@settings(deadline=None)
@given(ANYTHING)
def test_whatever_is_reported_arrives_as_strict_json_without_nul(value: Any) -> None:
    assert "\0" not in json.dumps(written(value), ensure_ascii=False)


def test_a_value_within_itself_is_refused_instead_of_looping() -> None:
    circle: dict[str, Any] = {}
    circle["again"] = circle
    with pytest.raises(InvalidEvent, match="within itself"):
        encode(circle)


def test_a_value_that_cannot_even_be_printed_is_refused_by_name() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text for you")

    with pytest.raises(InvalidEvent, match="no text for you"):
        encode({"value": Broken()})


def test_a_naive_time_is_local_when_that_is_now_and_else_utc() -> None:
    now = datetime.now(UTC)
    for present in (
        now.astimezone().replace(tzinfo=None),
        now.replace(tzinfo=None),
        now,
        now.astimezone(timezone(timedelta(hours=9))),
    ):
        assert abs(datetime.fromisoformat(time_text(present)) - now) < timedelta(seconds=2)
    assert time_text(datetime(2024, 5, 1)) == "2024-05-01T00:00:00.000+00:00"
    assert time_text("2024-05-01") == "2024-05-01"


@pytest.fixture
def troubles() -> list[tuple[Exception, list[dict[str, Any]]]]:
    return []


@pytest.fixture
def client(troubles: list[Any]) -> Iterator[Client]:
    with Client("key", send=False, on_error=lambda *trouble: troubles.append(trouble)) as client:
        yield client


def test_a_call_without_any_id_is_the_developers_mistake_and_raised_at_once(client: Client) -> None:
    for call in (
        lambda: client.track("Order Completed"),
        lambda: client.track("Order Completed", anonymous_id="", user_id=None),
        lambda: client.identify(traits={"name": "Ann"}),
        lambda: client.page("Home"),
        lambda: client.group("acme"),
        lambda: client.alias("", "42"),
        lambda: client.alias("a", ""),
        lambda: client.group("", user_id="42"),
    ):
        with pytest.raises(ValueError, match="id") as caught:
            call()
        assert isinstance(caught.value, MissingIdError)


@pytest.mark.parametrize(
    ("event", "properties", "error"),
    [
        ("", {}, InvalidEvent),
        (None, {}, InvalidEvent),
        (7, {}, InvalidEvent),
        ("Viewed", ["not", "a", "mapping"], InvalidEvent),
        ("Viewed", {"blob": "x" * 33_000}, EventTooLarge),
        ("Viewed", {"blob": "я" * 17_000}, EventTooLarge),
    ],
    ids=["no name", "None", "number", "list", "33 KB", "33 KB of Cyrillic"],
)
def test_a_bad_event_is_told_and_never_raised(
    client: Client, troubles: list[Any], event: Any, properties: Any, error: type[Exception]
) -> None:
    assert client.track(event, properties, user_id="42") is False
    [(caught, [told])] = troubles
    assert type(caught) is error
    assert told["userId"] == "42"


def test_an_event_just_below_32_kb_is_sent(client: Client, troubles: list[Any]) -> None:
    assert client.track("Viewed", {"blob": "x" * 32_000}, user_id="42")
    assert not troubles


def test_wrong_arguments_of_every_kind_never_raise_into_the_host(client: Client, troubles: list[Any]) -> None:
    junk: Any = object()
    assert not client.track("x", user_id="1", timestamp=17)  # type: ignore[arg-type]
    assert not client.track("x", user_id="1", context=junk)
    assert not client.identify("1", "traits")  # type: ignore[arg-type]
    assert client.track("x", {"junk": junk}, user_id=junk)
    assert len(troubles) == 3


def test_a_callback_that_raises_does_not_reach_the_host() -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the callback's own trouble")

    with Client("key", send=False, on_error=fail) as client:
        assert client.track("", user_id="1") is False


@pytest.mark.parametrize("host", ["", "events.example.com", "ftp://example.com", "http://"])
def test_a_host_that_cannot_work_is_refused_at_the_start(host: str) -> None:
    with pytest.raises(ConfigurationError, match="host must look like"):
        Client("key", host)


@pytest.mark.parametrize("key", ["", "a:b", "ключ", "new\nline"])
def test_a_write_key_that_cannot_stand_in_a_header_is_refused_at_the_start(key: str) -> None:
    with pytest.raises(ConfigurationError, match="write_key"):
        Client(key)


def test_sizes_that_cannot_work_are_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError):
        Client("key", batch_size=0)


def test_module_functions_need_configure_first_and_have_the_clients_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default, "_client", None)
    with pytest.raises(ConfigurationError, match="configure"):
        track("x", user_id="1")

    def parameters(source: str, method: bool) -> dict[str, str]:
        tree = ast.parse((ROOT / "sdk_python/chimein" / source).read_text(encoding="utf-8"))
        functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        names = ("track", "identify", "page", "group", "alias", "flush", "close")
        return {name: ast.unparse(functions[name].args).removeprefix("self, " if method else "") for name in names}

    assert parameters("default.py", method=False) == parameters("client.py", method=True)


def test_the_user_hash_is_hex_hmac_sha256_of_the_user_id() -> None:
    assert (
        user_hash("secret", "42") == hmac.new(b"secret", b"42", hashlib.sha256).hexdigest() == user_hash("secret", 42)
    )


def test_the_identity_token_is_a_jwt_that_others_accept_until_it_expires() -> None:
    key = "a secret key of at least thirty-two bytes"
    token = identity_token(key, "42", "site-1")
    assert jwt.decode(token, key, algorithms=["HS256"], audience="site-1")["sub"] == "42"
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(token, key, algorithms=["HS256"], audience="site-2")
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, key + "!", algorithms=["HS256"], audience="site-1")
    with pytest.raises(jwt.ExpiredSignatureError):
        jwt.decode(identity_token(key, "42", "site-1", lifetime=-1), key, algorithms=["HS256"], audience="site-1")


def test_the_snippet_cannot_be_broken_out_of() -> None:
    evil = "</script><script>alert(1)//"
    html = snippet('k"><b', "https://events.example.com/", user_id=evil, user_hash="abc", nonce='n"')
    assert html.count("</script>") == 3
    assert "alert(1)" in html
    assert evil not in html
    assert '"k&quot;&gt;&lt;b"' in html
    assert 'src="https://events.example.com/chimein.js"' in html
    assert html.count('nonce="n&quot;"') == 3
    assert "data-host" not in html
    assert 'data-host="https://example.com/chimein"' in snippet("k", "https://example.com/chimein/")


def test_the_stub_queues_the_calls_that_the_browser_sdk_knows() -> None:
    source = (ROOT / "sdk_js/src/snippet.js").read_text(encoding="utf-8")
    found = re.search(r"'([a-z ]+)'\.split\(' '\)", source)
    assert found
    assert f'"{found[1]}"' in snippet("k", "http://127.0.0.1:8000")


def visitor(client: Client, cookie: str = "", **environ: str) -> Visitor:
    base = {"HTTP_COOKIE": cookie, "wsgi.url_scheme": "https", "HTTP_HOST": "shop.example", "PATH_INFO": "/"}
    return Visitor({**base, **environ}, client, lambda: None, honour_gpc=True, create=True)


@pytest.mark.parametrize(
    ("cookie", "known"),
    [
        ("chimein_id=0123456789abcdef0123456789abcdef", True),
        ("a=b; chimein_id=0123456789abcdef0123456789abcdef; c=d", True),
        ("a=b;chimein_id=0123456789abcdef0123456789abcdef", True),
        ("xchimein_id=0123456789abcdef0123456789abcdef", False),
        ("chimein_id=short", False),
        ("chimein_id=<script>alert(1)</script>", False),
        ("chimein_id=" + "a" * 65, False),
        ("", False),
    ],
)
def test_the_browsers_cookie_is_taken_over_if_it_can_be_one(client: Client, cookie: str, known: bool) -> None:
    found = visitor(client, cookie)
    assert (found.anonymous_id == "0123456789abcdef0123456789abcdef") is known
    assert found.is_new is not known
    assert re.fullmatch("[0-9a-f]{32}", found.anonymous_id)


def test_a_global_privacy_signal_is_honoured_unless_the_browser_sdk_has_consent(client: Client) -> None:
    objecting = visitor(client, HTTP_SEC_GPC="1")
    assert not objecting.is_observed
    assert not objecting.is_new
    assert objecting.track("Viewed") is False
    assert visitor(client, "chimein_id=0123456789abcdef", HTTP_SEC_GPC="1").is_observed


def test_a_request_tells_page_browser_language_and_campaign(client: Client) -> None:
    context = visitor(
        client,
        PATH_INFO="/каталог".encode().decode("latin-1"),
        QUERY_STRING="utm_source=mail&utm_campaign=spring&q=1",
        HTTP_REFERER="https://search.example/",
        HTTP_USER_AGENT="Mozilla/5.0 " + "x" * 900,
        HTTP_ACCEPT_LANGUAGE="de-DE,de;q=0.9",
    ).context
    assert context["page"] == {
        "path": "/%D0%BA%D0%B0%D1%82%D0%B0%D0%BB%D0%BE%D0%B3",
        "referrer": "https://search.example/",
        "search": "?utm_source=mail&utm_campaign=spring&q=1",
        "url": "https://shop.example/%D0%BA%D0%B0%D1%82%D0%B0%D0%BB%D0%BE%D0%B3?utm_source=mail&utm_campaign=spring&q=1",
    }
    assert context["campaign"] == {"source": "mail", "name": "spring"}
    assert context["locale"] == "de-DE"
    assert len(context["userAgent"]) == 400


ALLOWED = {
    "flask.py": {"flask", "markupsafe", "werkzeug"},
    "pytest_plugin.py": {"pytest"},
    "rule_testing.py": {"backend"},
}


def test_nothing_but_the_standard_library_is_imported_and_flask_only_by_its_extension() -> None:
    import sys

    for path in (ROOT / "sdk_python/chimein").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        foreign = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"chimein", "_typeshed"}
        assert foreign == ALLOWED.get(path.name, set()), path
    inside = ast.parse((ROOT / "sdk_python/chimein/rule_testing.py").read_text(encoding="utf-8")).body
    outer = [node for node in inside if isinstance(node, ast.ImportFrom)]
    assert not [node for node in outer if str(node.module).startswith("backend")], "the engine is asked for when needed"
