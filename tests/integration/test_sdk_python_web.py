"""The Python SDK inside web applications: WSGI middleware and Flask extension, from the cookie to the event."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from flask import Flask, g, render_template_string, session

from chimein import Client, default, user_hash
from chimein.flask import Chimein, current_visitor
from chimein.testing import Collector
from chimein.wsgi import ChimeinMiddleware

KNOWN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        yield server


@pytest.fixture
def client(collector: Collector) -> Iterator[Client]:
    with Client("key", collector.url) as client:
        yield client


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers with the visitor's id; the path chooses the status and the type."""
    if environ["PATH_INFO"] == "/track":
        environ["chimein.visitor"].track("Product Added", {"price": 20})
    status = "404 Not Found" if environ["PATH_INFO"] == "/missing" else "200 OK"
    kind = "application/json" if environ["PATH_INFO"] == "/api" else "text/html; charset=utf-8"
    cache = "public, max-age=60" if environ["PATH_INFO"] == "/static" else "no-cache"
    start_response(status, [("Content-Type", kind), ("Cache-Control", cache)])
    return [environ["chimein.anonymous_id"].encode()]


def get(app: Any, path: str = "/", **environ: Any) -> tuple[str, dict[str, str], bytes]:
    """Calls the application as a server would, and checks that both keep to the WSGI standard."""
    full: dict[str, Any] = {"SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": ""}
    setup_testing_defaults(full)
    full.update(environ)
    answer: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        answer[:] = [status, dict(headers)]
        return lambda data: None

    chunks = validator(app)(full, start_response)
    body = b"".join(chunks)
    chunks.close()
    return answer[0], answer[1], body


# WSGI


def test_a_new_visitor_gets_an_id_in_a_cookie_that_the_browser_sdk_can_read(client: Client) -> None:
    _, headers, body = get(ChimeinMiddleware(application, client))
    found = re.fullmatch(r"chimein_id=([0-9a-f]{32}); Path=/; Max-Age=31536000; SameSite=Lax", headers["Set-Cookie"])
    assert found
    assert found[1] == body.decode()
    assert re.fullmatch(r"[\w-]{16,64}", found[1]), "what the browser SDK accepts"


def test_a_known_visitor_keeps_the_id_and_gets_no_second_cookie(client: Client) -> None:
    _, headers, body = get(ChimeinMiddleware(application, client), HTTP_COOKIE=f"a=b; chimein_id={KNOWN}")
    assert body.decode() == KNOWN
    assert "Set-Cookie" not in headers


def test_over_https_the_cookie_is_secure_and_may_span_host_names(client: Client) -> None:
    app = ChimeinMiddleware(application, client, cookie_domain="shop.example")
    _, headers, _ = get(app, **{"wsgi.url_scheme": "https"})
    assert headers["Set-Cookie"].endswith("; Domain=shop.example; Secure")


@pytest.mark.parametrize(
    ("options", "environ"),
    [({}, {"HTTP_SEC_GPC": "1"}), ({}, {"PATH_INFO": "/static"}), ({"create": False}, {})],
    ids=["global privacy control", "an answer for shared caches", "only whom the browser SDK knows"],
)
def test_no_cookie_is_set_for(client: Client, options: dict[str, Any], environ: dict[str, str]) -> None:
    _, headers, body = get(ChimeinMiddleware(application, client, **options), **environ)
    assert "Set-Cookie" not in headers
    assert re.fullmatch("[0-9a-f]{32}", body.decode()), "the host's code need not care"


def test_an_event_carries_visitor_user_and_page(client: Client, collector: Collector) -> None:
    app = ChimeinMiddleware(application, client, user=lambda environ: environ.get("REMOTE_USER"))
    get(app, "/track", HTTP_COOKIE=f"chimein_id={KNOWN}", REMOTE_USER="42", HTTP_HOST="shop.example")
    assert client.flush(5)
    [event] = collector.events
    assert (event["anonymousId"], event["userId"], event["event"]) == (KNOWN, "42", "Product Added")
    assert event["context"]["page"]["url"] == "http://shop.example/track"
    assert event["context"]["library"]["name"] == "chimein-python"


def test_pages_are_reported_only_when_asked_for_and_only_pages(client: Client, collector: Collector) -> None:
    get(ChimeinMiddleware(application, client), "/")
    app = ChimeinMiddleware(application, client, page_views=True)
    get(app, "/a", QUERY_STRING="q=1", HTTP_COOKIE=f"chimein_id={KNOWN}", HTTP_REFERER="https://x.example/")
    get(app, "/api")
    get(app, "/missing")
    get(app, "/b", REQUEST_METHOD="POST")
    get(app, "/c", HTTP_SEC_FETCH_DEST="empty")
    get(app, "/d", HTTP_SEC_PURPOSE="prefetch")
    get(app, "/e", HTTP_SEC_GPC="1")
    assert client.flush(5)
    [page] = collector.events
    assert (page["type"], page["anonymousId"]) == ("page", KNOWN)
    assert page["properties"]["path"] == "/a"
    assert page["properties"]["search"] == "?q=1"
    assert page["properties"]["referrer"] == "https://x.example/"


def test_trouble_with_the_visitor_never_becomes_the_applications(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Any) -> str:
        raise RuntimeError("no session")

    status, _, body = get(ChimeinMiddleware(application, client, user=fail, page_views=True))
    assert status == "200 OK"
    assert body
    assert "no session" in caplog.text


def test_without_a_client_the_configured_one_is_used(
    client: Client, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default, "_client", client)
    get(ChimeinMiddleware(application), "/track")
    assert client.flush(5)
    assert len(collector.events) == 1


def test_an_application_that_fails_late_may_still_change_its_answer(client: Client, collector: Collector) -> None:
    def failing(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        try:
            raise RuntimeError("late")
        except RuntimeError:
            import sys

            start_response("500 Oops", [("Content-Type", "text/html")], sys.exc_info())
        return [b"oops"]

    status, headers, _ = get(ChimeinMiddleware(failing, client, page_views=True))
    assert status == "500 Oops"
    assert "chimein_id" in headers["Set-Cookie"]
    assert client.flush(5)
    assert len(collector.events) == 1


# Flask


@pytest.fixture
def app(collector: Collector) -> Iterator[Flask]:
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY="flask's own",
        CHIMEIN_WRITE_KEY="key",
        CHIMEIN_HOST=collector.url,
        CHIMEIN_PUBLIC_HOST="https://events.example.com",
        CHIMEIN_SITE_SECRET_KEY="the site's",
    )
    extension = Chimein()
    extension.init_app(app)

    @extension.user_loader
    def signed_in() -> str | None:
        return session.get("user_id")

    @app.get("/")
    def home() -> str:
        return render_template_string("<head>{{ chimein_snippet('n0nce') }}</head>{{ chimein_user_hash() }}")

    @app.get("/id")
    def show() -> str:
        return current_visitor.anonymous_id

    @app.post("/cart")
    def add_to_cart() -> str:
        current_visitor.track("Product Added", {"price": 20})
        return "added"

    @app.post("/sign-in/<user_id>")
    def sign_in(user_id: str) -> str:
        session["user_id"] = user_id
        current_visitor.identify({"plan": "b"})
        return "welcome"

    yield app
    with app.app_context():
        extension.client.close()


def sent(app: Flask, collector: Collector) -> list[dict[str, Any]]:
    app.extensions["chimein"][1].flush(5)
    return collector.events


def test_flask_keeps_the_visitors_id_over_requests(app: Flask) -> None:
    browser = app.test_client()
    first = browser.get("/id")
    assert re.search(r"chimein_id=[0-9a-f]{32}; Path=/", first.headers["Set-Cookie"])
    second = browser.get("/id")
    assert second.text == first.text
    assert "Set-Cookie" not in second.headers
    assert app.test_client().get("/id").text != first.text


def test_visitors_are_told_apart_though_an_application_context_stays_open(app: Flask) -> None:
    with app.app_context():
        g.anything = 1
        assert app.test_client().get("/id").text != app.test_client().get("/id").text


def test_flask_events_carry_visitor_and_signed_in_user(app: Flask, collector: Collector) -> None:
    browser = app.test_client()
    browser.post("/cart")
    browser.post("/sign-in/42")
    browser.post("/cart")
    before, identify, after = sent(app, collector)
    assert before["event"] == after["event"] == "Product Added"
    assert before["anonymousId"] == identify["anonymousId"] == after["anonymousId"]
    assert "userId" not in before
    assert identify["userId"] == after["userId"] == "42"
    assert identify["traits"] == {"plan": "b"}
    assert identify["context"]["userHash"] == user_hash("the site's", "42")


def test_the_snippet_in_a_template_proves_who_is_signed_in(app: Flask) -> None:
    browser = app.test_client()
    anonymous = browser.get("/").text
    assert (
        '<script async src="https://events.example.com/chimein.js" data-key="key" nonce="n0nce"></script>' in anonymous
    )
    assert "chimein.identify" not in anonymous
    browser.post("/sign-in/42")
    known = browser.get("/").text
    proof = user_hash("the site's", "42")
    assert f'chimein.identify("42",{{}},{{"userHash": "{proof}"}})' in known
    assert known.endswith(f"</head>{proof}")


def test_flask_reports_pages_when_asked_to(app: Flask, collector: Collector) -> None:
    app.config["CHIMEIN_PAGE_VIEWS"] = True
    browser = app.test_client()
    browser.get("/?q=1")
    browser.get("/nowhere")
    browser.post("/cart")
    assert [(event["type"], event["properties"].get("path")) for event in sent(app, collector)] == [
        ("page", "/"),
        ("track", None),
    ]


def test_flask_leaves_alone_who_objects(app: Flask, collector: Collector) -> None:
    answer = app.test_client().post("/cart", headers={"Sec-GPC": "1"})
    assert answer.text == "added"
    assert "Set-Cookie" not in answer.headers
    assert sent(app, collector) == []
