"""Sites: their keys, what can be set, and what is left when one goes."""

from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from backend.domain.profile import Profile
from backend.runtime import Runtime
from backend.settings import Settings
from backend.storage import tables, visitors
from tests.contract.conftest import RULE, Api


def test_a_new_site_gets_keys_and_defaults(api: Api) -> None:
    answer = api.post("/sites", {"name": "Tea & more"})
    assert answer.status_code == 201
    site = answer.json
    assert site["write_key"].startswith("chi_pub_")
    assert site["secret_key"].startswith("chi_sec_")
    assert (site["timezone"], site["currency"], site["origins"]) == ("UTC", "USD", [])
    assert site["stages"] == ["new", "browsing", "interested", "cart", "checkout", "customer"]
    assert site["policy"]["max_event_age"] == "10m"
    assert site["capture"]["search_params"] == ["q", "s", "query", "search", "keyword"]
    assert site["created_at"].endswith("Z")
    assert api.get("/sites/Tea%20&%20more").json == api.get(f"/sites/{site['id']}").json == site


def test_everything_can_be_set_at_once_and_read_back(api: Api) -> None:
    wanted = {
        "name": "shop",
        "title": "The Kettle Shop",
        "write_key": "my-key",
        "secret_key": "s" * 32,
        "origins": ["https://shop.example", "http://localhost:3000"],
        "timezone": "Europe/Vienna",
        "currency": "EUR",
        "policy": {
            "max_event_age": "1h",
            "require_signature": True,
            "unverified_email": True,
            "texts": {"ru": {"chat": "Спросите нас"}, "*": {"chat": "Ask us"}},
            "honour_gpc": False,
            "honour_dnt": True,
            "consent": {"store": "analytics", "show": "marketing", "mail": "marketing"},
            "retention": {"Page Viewed": "90d", "*": "400d"},
            "hide_query": ["email"],
            "access_log_kept": "30d",
            "conversation": {"mail_after": "10m", "keep": "365d"},
            "phone_region": "AT",
            "placeholders": ["no-id"],
            "caps": [{"count": 1, "per": "session", "channels": ["popup", "chat"]}, {"count": 3, "within": "7d"}],
            "quiet_hours": {"from": "21:00", "to": "09:00", "then": "next_available"},
            "dismiss_backoff": "2d",
            "holdout": 5.0,
            "webhook_retention": "7d",
            "rfm": {"recency": [3, 9, 27, 81]},
            "loyalty": [{"name": "silver", "orders": 2}, {"name": "gold", "orders": 5, "revenue": "99.50"}],
            "desk": {"hours": {"zone": "Europe/Vienna", "windows": [{"from": "09:00", "to": "18:00"}]}},
        },
        "capture": {
            "page_views": False,
            "search_params": ["suche"],
            "clicks": "",
            "forms": ["email"],
            "data_layer": "",
            "signals": "always",
            "time_on_page": [15, 45],
            "scroll_depth": [],
            "exit_intent": False,
        },
        "attention": {
            "settle": "5s",
            "after_error": "0s",
            "checkout": ["/kasse*", "*/pay"],
            "teaser_first": True,
            "launcher": True,
            "sound": True,
        },
    }
    made = api.post("/sites", wanted)
    assert made.status_code == 201, made.text
    assert {name: made.json[name] for name in wanted} == wanted
    assert api.get("/sites/shop").json == made.json


def test_a_patch_changes_what_it_names_and_leaves_the_rest(api: Api, site: str) -> None:
    before = api.get(f"/sites/{site}").json
    answer = api("PATCH", f"/sites/{site}", {"currency": "EUR", "policy": {"require_signature": True}})
    assert answer.status_code == 200
    after = {**before, "currency": "EUR", "policy": {**before["policy"], "require_signature": True}}
    assert answer.json == api.get(f"/sites/{site}").json == after


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://shop.example", "https://shop.example"),
        ("HTTPS://Shop.Example:443", "https://shop.example"),
        ("http://shop.example:80", "http://shop.example"),
        ("https://shop.example:8443", "https://shop.example:8443"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://еxample.com", "https://xn--xample-2of.com"),  # the first letter is Cyrillic
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(api: Api, site: str, given: str, kept: str) -> None:
    answer = api("PATCH", f"/sites/{site}", {"origins": [given]})
    assert answer.status_code == 200, answer.text
    assert answer.json["origins"] == [kept]


@pytest.mark.parametrize(
    "origin",
    [
        *("null", "*", "file://", "shop.example", "//shop.example", "ftp://shop.example", "https://", "https://*.a.b"),
        *("https://shop.example/", "https://shop.example/a", "https://a@shop.example", "https://shop.example?x"),
        *("https://shop.example:99999", "https://shop.example:", "https://a b", "https://a..b", "javascript:alert(1)"),
        *("https://shop.example\n", "https://shop.example,https://b.example", 1, None, "https://" + "a" * 400),
    ],
)
def test_what_is_no_origin_is_refused(api: Api, site: str, origin: object) -> None:
    answer = api("PATCH", f"/sites/{site}", {"origins": [origin]})
    assert answer.status_code == 422
    assert answer.json["errors"]["origins"]["0"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("name", value) for value in ("", " ", "a/b", "..", "a\nb", "0" * 32, "x" * 101, 1, None, ["a"])],
        *[("write_key", value) for value in ("", "a:b", "a b", "ключ", "x" * 101, 1)],
        *[("secret_key", value) for value in ("short", "x" * 201, "ü" * 40)],
        *[("timezone", value) for value in ("Vienna", "UTC+1", "europe/vienna", "../etc/passwd", "posix/UTC", "", 1)],
        *[("currency", value) for value in ("eur", "EURO", "€", "EUR\n", "", 978)],
        *[("stages", value) for value in ([], ["new"], "new")],
        *[("origins", value) for value in ("https://shop.example", ["https://a.example"] * 101)],
        *[("policy", value) for value in ([], "x", None, {"max_event_age": 600}, {"max_event_age": "soon"})],
        *[("policy", {"webhook_retention": value}) for value in ("23h", "0s", "never", 30, None)],
        *[("policy", {"require_signature": value}) for value in ("yes", 1, "true", None, [])],
        *[("capture", value) for value in ({"page_views": "on"}, {"forms": "email"}, {"data_layer": "a b"})],
        *[("capture", {"signals": value}) for value in ("on", True, None, "")],
        *[("capture", {"time_on_page": value}) for value in ([0], [3601], [1.5], ["30"], [30, 10], [5, 5], 30, [True])],
        *[("capture", {"scroll_depth": value}) for value in ([0], [101], list(range(1, 12)), "50")],
        *[("attention", value) for value in ([], "x", None, {"settle": 3}, {"settle": "soon"}, {"settle": "11m"})],
        *[("attention", {"checkout": value}) for value in ("/checkout", ["checkout"], ["/a\nb"], ["/"] * 51, [1])],
        *[("policy", {"texts": value}) for value in ([], {"RU": {}}, {"ru": {"chat": ""}}, {"ru": {"x": "y" * 301}})],
        *[("attention", value) for value in ({"after_error": "1h"}, {"teaser_first": "yes"}, {"teaser": True})],
    ],
)
def test_a_wrong_value_is_refused_with_its_name(api: Api, site: str, field: str, value: object) -> None:
    answer = api("PATCH", f"/sites/{site}", {field: value})
    assert answer.status_code == 422, answer.text
    assert set(answer.json["errors"]) == {field}


def test_names_and_write_keys_are_unique(api: Api, site: str) -> None:
    key = api.get(f"/sites/{site}").json["write_key"]
    for body, field in (({"name": "shop"}, "name"), ({"name": "b", "write_key": key}, "write_key")):
        answer = api.post("/sites", body)
        assert answer.status_code == 409
        assert set(answer.json["errors"]) == {field}
    api.post("/sites", {"name": "b"})
    assert api("PATCH", "/sites/b", {"name": "shop"}).status_code == 409
    assert api.get("/sites/b").status_code == 200


def test_the_list_of_sites_comes_in_pages_in_a_steady_order(api: Api) -> None:
    names = [f"site {number}" for number in range(7)]
    for name in names:
        assert api.post("/sites", {"name": name}).status_code == 201
    for limit in (1, 2, 3, 7, 8):
        assert [each["name"] for each in api.all_items("/sites", limit)] == names


def test_secrets_cannot_be_read_in_the_database_file(api: Api, settings: Settings, rt: Runtime) -> None:
    secret = api.post("/sites", {"name": "shop"}).json["secret_key"]
    token = api.post("/tokens", {"name": "a", "role": "operator"}).json["token"]
    with rt.db.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = b"".join(path.read_bytes() for path in settings.data_dir.glob("chimein.db*"))
    assert b"shop" in kept
    for text in (secret, secret.removeprefix("chi_sec_"), token, token.rpartition("_")[2], settings.secret_key):
        assert text.encode() not in kept
    assert Api(api.client, token).get("/sites").status_code == 200
    assert api.get("/sites/shop").json["secret_key"] == secret


def test_with_a_site_goes_everything_that_was_kept_of_it(
    api: Api, rt: Runtime, site: str, other_site: str, token_for: Callable[..., str]
) -> None:
    token = token_for("operator", site)
    for each in (site, other_site):
        assert api.post(f"/sites/{each}/rules", RULE).status_code == 201
    with rt.db.begin() as conn:
        for number in range(450):
            owner = site if number < 440 else other_site
            profile = Profile(id=f"{number:032x}", site_id=owner, last_seen=rt.clock())
            visitors.save(conn, [visitors.Stored(profile, None)], [])
    assert api("DELETE", f"/sites/{site}").status_code == 204
    assert api.get(f"/sites/{site}").status_code == 404
    assert Api(api.client, token).get("/sites").status_code == 401
    with rt.db.read() as conn:
        for table, left in ((tables.visitors, 10), (tables.rules, 1), (tables.sites, 1), (tables.tokens, 0)):
            assert conn.scalar(select(func.count()).select_from(table)) == left
