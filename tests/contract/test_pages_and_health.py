"""What stands around the API: configuration, scripts, health, metrics, the front door."""

import time
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from backend.app import create_app
from backend.errors import Unavailable
from backend.runtime import Runtime
from backend.settings import Settings
from backend.storage.sites import SiteCache
from backend.web import page
from tests.contract.conftest import ADMIN, RULE, Api


def test_the_configuration_tells_the_page_what_to_do(client: FlaskClient, api: Api, site: str, rt: Runtime) -> None:
    key = api.get(f"/sites/{site}").json["write_key"]
    answer = client.get("/v1/config", query_string={"writeKey": key}, headers={"Origin": "https://shop.example"})
    assert answer.status_code == 200
    assert answer.json == {
        "site": site,
        "live": rt.settings.live_url,
        "widget": "/chimein-widget.js",
        "capture": {
            "page_views": True,
            "search_params": ["q", "s", "query", "search", "keyword"],
            "clicks": "[data-chimein-event]",
            "forms": [
                *("name", "first_name", "last_name", "email", "phone", "tel", "company", "city"),
                *("message", "comment", "subject"),
            ],
            "data_layer": "dataLayer",
        },
        "signals": None,
        "attention": {"settle": 2.0, "after_error": 5.0, "checkout": ["*/checkout*"], "teaser_first": False},
        "chat": False,
        "sound": False,
        "policy": {"require_signature": False, "honour_gpc": True, "honour_dnt": False},
        "desk": {"online": False, "replies_in": None, "opens_at": None},
    }
    assert answer.headers["Access-Control-Allow-Origin"] in {"*", "https://shop.example"}
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("query", ["", "?writeKey=", "?writeKey=nonsense", "?writeKey=%00"])
def test_an_unknown_key_gets_no_configuration_and_the_page_may_read_why(client: FlaskClient, query: str) -> None:
    answer = client.get("/v1/config" + query, headers={"Origin": "https://shop.example"})
    assert answer.status_code == 401
    assert set(answer.json) == {"code", "status", "message", "errors"}
    assert answer.headers["Access-Control-Allow-Origin"] in {"*", "https://shop.example"}


def test_a_page_that_is_not_the_sites_gets_no_configuration(client: FlaskClient, api: Api, site: str) -> None:
    key = api("PATCH", f"/sites/{site}", {"origins": ["https://shop.example"]}).json["write_key"]
    for origin, status in (
        ("https://shop.example", 200),
        ("https://shop.example:8443", 403),
        ("http://shop.example", 403),
        ("https://shop.example.evil.example", 403),
        ("null", 403),
    ):
        answer = client.get("/v1/config", query_string={"writeKey": key}, headers={"Origin": origin})
        assert answer.status_code == status, origin
        assert ("Access-Control-Allow-Origin" in answer.headers) == (status == 200)
    assert client.get("/v1/config", query_string={"writeKey": key}).status_code == 200


def test_the_scripts_may_be_loaded_by_any_page_and_are_asked_for_again_in_time(
    client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "DIST", tmp_path)
    assert client.get("/chimein.js").status_code == 404
    (tmp_path / "chimein.js").write_text("let first;", encoding="utf-8")
    answer = client.get("/chimein.js")
    assert (answer.status_code, answer.text) == (200, "let first;")
    assert answer.mimetype == "text/javascript"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    again = client.get("/chimein.js", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    (tmp_path / "chimein.js").write_text("let second_build;", encoding="utf-8")
    fresh = client.get("/chimein.js", headers={"If-None-Match": answer.headers["ETag"]})
    assert (fresh.status_code, fresh.text) == (200, "let second_build;")


def test_health_and_readiness_are_green_while_all_is_well(client: FlaskClient) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200


def test_readiness_is_red_when_the_log_takes_nothing_and_health_stays_green(settings: Settings) -> None:
    away = Settings.load(
        {},
        data_dir=str(settings.data_dir),
        redis_url=f"unix://{settings.data_dir}/nothing.sock",
        secret_key="a secret of the tests",
        admin_token=ADMIN,
    )
    client = create_app(away).test_client()
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert set(answer.json) == {"code", "status", "message", "errors"}
    metrics = client.get("/metrics")
    assert "chimein_up 0.0" in metrics.text


def test_metrics_are_for_this_machine_or_for_whoever_has_the_token(client: FlaskClient) -> None:
    here = client.get("/metrics")
    assert here.status_code == 200
    assert "chimein_pending_events 0.0" in here.text
    assert "chimein_build_info{" in here.text
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    assert client.get("/metrics", environ_overrides=elsewhere).status_code == 401
    proxied = client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"})
    assert proxied.status_code == 401
    for token, status in ((ADMIN, 200), ("nonsense", 401), ("", 401)):
        answer = client.get("/metrics", environ_overrides=elsewhere, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status


def test_pages_carry_strict_headers(client: FlaskClient) -> None:
    for path in ("/", "/api/docs", "/demo/"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert "object-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"


def test_the_front_door_leads_to_the_demo_and_to_the_api(client: FlaskClient) -> None:
    text = client.get("/").text
    assert 'href="/demo/"' in text
    assert 'href="/api/docs"' in text
    assert "&lt;script async" in text


def test_the_live_process_answers_for_its_health_and_for_nothing_of_the_api(settings: Settings, rt: Runtime) -> None:
    client = create_app(settings, role="live", runtime=rt).test_client()
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
    assert client.get("/api/v1/sites").status_code == 404
    assert client.post("/v1/live", data="{}").status_code in {400, 401}


class _Ticking:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_cache_of_sites_is_at_most_five_seconds_behind(rt: Runtime, api: Api, site: str) -> None:
    clock = _Ticking()
    cache = SiteCache(rt.db, rt.settings.secret_key, clock)
    key = api.get(f"/sites/{site}").json["write_key"]
    first = cache.by_write_key(key)
    assert first is not None
    assert first == cache.by_id(site) == cache.by_ref("shop") == cache.by_ref(site)
    api("PATCH", f"/sites/{site}", {"currency": "EUR"})
    clock.now += 4.9
    assert [found and found.currency for found in (cache.by_write_key(key), cache.by_id(site))] == ["USD", "USD"]
    clock.now += 0.2
    assert [found and found.currency for found in (cache.by_write_key(key), cache.by_id(site))] == ["EUR", "EUR"]
    api("DELETE", f"/sites/{site}")
    clock.now += 5.1
    assert cache.by_write_key(key) is cache.by_id(site) is cache.by_ref("shop") is None


def test_keys_that_nobody_gave_out_fill_no_memory_and_are_known_soon_after_they_exist(rt: Runtime, api: Api) -> None:
    clock = _Ticking()
    cache = SiteCache(rt.db, rt.settings.secret_key, clock)
    cache.UNKNOWN_LIMIT = 100
    for number in range(1_000):
        assert cache.by_write_key(f"made-up-{number}") is None
    assert len(cache._unknown) <= 100
    assert cache.by_write_key("later") is None
    api.post("/sites", {"name": "later", "write_key": "later"})
    clock.now += 1.1
    assert cache.by_write_key("later") is not None


def test_while_the_database_is_away_known_sites_stay_known(rt: Runtime, api: Api, site: str) -> None:
    clock = _Ticking()

    class Away:
        """A database that answers, or does not."""

        away = False

        def read(self) -> object:
            if self.away:
                raise OperationalError("SELECT", {}, Exception("server closed the connection"))
            return rt.db.read()

    db = Away()
    cache = SiteCache(db, rt.settings.secret_key, clock)  # type: ignore[arg-type]
    assert cache.by_id(site) is not None
    db.away = True
    clock.now += 60
    assert cache.by_id(site) is not None
    with pytest.raises(Unavailable):
        cache.by_write_key("never seen")


def test_a_warm_look_up_costs_less_than_a_microsecond(rt: Runtime, api: Api, site: str) -> None:
    cache = rt.sites
    key = api.get(f"/sites/{site}").json["write_key"]
    cache.by_write_key(key)

    def once() -> float:
        started = time.perf_counter()
        for _ in range(10_000):
            cache.by_write_key(key)
        return (time.perf_counter() - started) / 10_000

    assert min(once() for _ in range(10)) < 1e-6


def rule_about(event: str) -> dict[str, object]:
    return {**RULE, "name": event, "trigger": {"event": "Product Viewed"}, "cancel": [{"event": event}]}


def test_a_page_reports_the_signals_that_an_active_rule_names(client: FlaskClient, api: Api, site: str) -> None:
    key = api.get(f"/sites/{site}").json["write_key"]

    def signals() -> dict[str, object]:
        client.application.extensions.pop(page.ASKED, None)  # as five seconds later
        capture = client.get("/v1/config", query_string={"writeKey": key}).json["capture"]
        return {name: capture[name] for name in ("time_on_page", "scroll_depth", "exit_intent") if name in capture}

    rule_id = api.post(f"/sites/{site}/rules", rule_about("Exit Intent")).json["id"]
    api.post(f"/sites/{site}/rules", rule_about("exit_intent"))
    assert signals() == {}, "a draft asks for nothing"
    api.post(f"/sites/{site}/rules/{rule_id}/activate")
    assert signals() == {"exit_intent": True}
    other = api.post(f"/sites/{site}/rules", rule_about("Scrolled")).json["id"]
    api.post(f"/sites/{site}/rules/{other}/activate")
    assert signals() == {"exit_intent": True, "scroll_depth": [25, 50, 75, 100]}
    api("PATCH", f"/sites/{site}", {"capture": {"scroll_depth": [], "time_on_page": [45]}})
    assert signals() == {"exit_intent": True}
    api("PATCH", f"/sites/{site}", {"capture": {"signals": "always"}})
    assert signals() == {"exit_intent": True, "time_on_page": [45]}
    told = client.get("/v1/config", query_string={"writeKey": key}).json["signals"]
    assert told == "/chimein-signals.js?time_on_page=45&exit_intent=1"
    api("PATCH", f"/sites/{site}", {"capture": {"signals": "never"}})
    assert signals() == {}


def test_a_page_is_told_what_to_mind_before_it_interrupts(client: FlaskClient, api: Api, site: str) -> None:
    key = api.get(f"/sites/{site}").json["write_key"]
    api("PATCH", f"/sites/{site}", {"attention": {"settle": "1m", "checkout": ["/kasse*"]}})
    api("PATCH", f"/sites/{site}", {"attention": {"teaser_first": True}})
    assert client.get("/v1/config", query_string={"writeKey": key}).json["attention"] == {
        "settle": 60.0,
        "after_error": 5.0,
        "checkout": ["/kasse*"],
        "teaser_first": True,
    }
