"""A small site for the browser SDK's tests: pages written in the test, and a collector and live server that record."""

import json
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

DIST = Path(__file__).resolve().parents[2] / "sdk_js" / "dist"
KEY = "key"

CAPTURE = {
    "page_views": True,
    "search_params": ["q", "query"],
    "clicks": "[data-chimein-event]",
    "forms": ["name", "first_name", "email", "phone", "tel", "message"],
    "data_layer": "dataLayer",
}

Answer = tuple[int, dict[str, str], Any]


def wait_until(said: Callable[[], Any], seconds: float = 20) -> Any:
    """What `said` returns once it is true; fails after `seconds`."""
    end = time.monotonic() + seconds
    while not (value := said()):
        assert time.monotonic() < end, "this did not come about in time"
        time.sleep(0.02)
    return value


class Stream:
    """One open stream to a browser."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.frames: queue.Queue[str | None] = queue.Queue()


class Site:
    """The servers' state: what they received, and what they shall answer."""

    def __init__(self, port: int) -> None:
        self.pages: dict[str, str] = {}
        self.sdk = f"http://127.0.0.1:{port}"
        # Another origin than the SDK's, as in life.
        self.origin = f"http://localhost:{port}"
        self.config: dict[str, Any] = {
            "site": "s1",
            "live": self.sdk,
            "widget": "/chimein-widget.js",
            "capture": dict(CAPTURE),
            "policy": {"require_signature": False, "honour_gpc": True, "honour_dnt": False},
        }
        self.batches: list[dict[str, Any]] = []
        self.arrivals: list[tuple[float, int]] = []
        self.answers: list[Answer] = []
        self.judge: Callable[[list[dict[str, Any]]], Answer | None] = lambda batch: None
        self.config_status = 200
        self.live_answers: list[int] = []
        self.live_status = 200
        self.live_calls: list[dict[str, Any]] = []
        self.inbox: list[dict[str, Any]] = []
        self.inbox_calls: list[dict[str, Any]] = []
        self.waiting: dict[str, dict[str, Any]] = {}
        self.said: list[dict[str, Any]] = []
        self.talks: list[dict[str, Any]] = []  # conversations
        self.told: list[tuple[str, dict[str, Any]]] = []  # what was read, and that somebody types
        self.note: dict[str, Any] | None = None  # that there is a conversation
        self.streams: list[Stream] = []
        self.delays: dict[str, float] = {}
        self.paths: Counter[str] = Counter()
        self.headers: dict[str, str] = {}
        self.lock = threading.Lock()

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event once, in order of arrival, as a server that dedupes by messageId would see it."""
        with self.lock:
            seen: dict[str, dict[str, Any]] = {}
            for batch in self.batches:
                for event in batch["batch"]:
                    seen.setdefault(event["messageId"], event)
            return list(seen.values())

    def tracked(self, name: str) -> list[dict[str, Any]]:
        """The properties of each event called `name`."""
        return [event["properties"] for event in self.events if event.get("event") == name]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of one type."""
        return [event for event in self.events if event["type"] == kind]

    def send(self, message: dict[str, Any]) -> None:
        """Puts a message up for showing: to the open streams, and to those that connect before it was shown."""
        self.waiting[message["id"]] = message
        self.put("message", message)

    def put(self, kind: str, data: dict[str, Any]) -> None:
        """Writes a frame to every open stream."""
        for stream in list(self.streams):
            stream.frames.put(f"id: {int(time.time() * 1000)}\nevent: {kind}\ndata: {json.dumps(data)}\n\n")

    def cut(self) -> None:
        """Ends every open stream."""
        for stream in list(self.streams):
            stream.frames.put(None)

    def page(self, path: str, body: str = "", head: str = "", *, attributes: str = "", lang: str = "en") -> str:
        """Lays a page at `path` with the snippet in it; returns its address."""
        stub = (DIST / "stub.js").read_text()
        self.pages[path] = (
            f"<!doctype html><html lang={lang} {attributes}><head><meta charset=utf-8><title>Shop {path}</title>"
            f"<meta name=viewport content='width=device-width'><script>{stub}</script>{head}"
            f"<script async src='{self.sdk}/chimein.js' data-key={KEY}></script></head><body>{body}</body></html>"
        )
        return self.origin + path

    def shown_or_not(self, event: dict[str, Any]) -> None:
        if str(event.get("event", "")).startswith("Message "):
            self.waiting.pop(event["properties"].get("message_id"), None)


class Handler(BaseHTTPRequestHandler):
    """Pages, the SDK's files, /v1/config, /v1/batch, /v1/live and /v1/inbox."""

    protocol_version = "HTTP/1.1"
    site: ClassVar[Site]

    def log_message(self, *args: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.site.paths[path] += 1
        time.sleep(self.site.delays.get(path, 0))
        if path == "/v1/config":
            self.reply(self.site.config_status, self.site.config)
        elif (DIST / path[1:]).is_file() and path.endswith((".js", ".json")):
            self.reply(
                200, (DIST / path[1:]).read_text(), "text/javascript" if path.endswith(".js") else "application/json"
            )
        elif path in self.site.pages:
            self.reply(200, self.site.pages[path], "text/html", self.site.headers)
        elif path.endswith(".svg"):
            self.reply(200, PICTURE, "image/svg+xml")
        else:
            self.reply(404, {})

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        self.site.paths[path] += 1
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"].startswith("text/plain"), "anything else needs a preflight"
        body = json.loads(raw)
        if path == "/v1/batch":
            self.collect(body, len(raw))
        elif path == "/v1/inbox":
            self.site.inbox_calls.append(body)
            note = {"conversation": self.site.note} if self.site.note else {}
            self.reply(200, {"items": list(self.site.waiting.values()), "poll_after": 1, **note})
        elif path == "/v1/conversation":
            self.reply(200, {"items": self.site.said, "conversations": self.site.talks})
        elif path in ("/v1/read", "/v1/typing"):
            self.site.told.append((path, body))
            self.reply(200, {"id": body["conversationId"], "seen": body.get("number")})
        elif path == "/v1/live":
            self.live(body)
        else:
            self.reply(404, {})

    def collect(self, body: dict[str, Any], size: int) -> None:
        site = self.site
        answer = site.answers.pop(0) if site.answers else site.judge(body["batch"])
        with site.lock:
            site.arrivals.append((time.monotonic(), size))
            if answer is None or answer[0] == 200:
                site.batches.append(body)
                for event in body["batch"]:
                    site.shown_or_not(event)
        status, headers, reply = answer or (200, {}, {"success": True, "accepted": len(body["batch"]), "rejected": []})
        self.reply(status, reply, headers=headers)

    def live(self, body: dict[str, Any]) -> None:
        site = self.site
        site.live_calls.append(body)
        status = site.live_answers.pop(0) if site.live_answers else site.live_status
        if status != 200:
            self.reply(status, {})
            return
        stream = Stream(body)
        site.streams.append(stream)
        try:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"retry: 3000\n\n")
            if site.note and body.get("userId") == site.note["user_id"]:
                self.wfile.write(f"event: conversation\ndata: {json.dumps(site.note)}\n\n".encode())
            for number, message in enumerate(list(site.waiting.values())):
                self.wfile.write(f"id: {number}\nevent: message\ndata: {json.dumps(message)}\n\n".encode())
            while True:
                try:
                    frame = stream.frames.get(timeout=0.2)
                except queue.Empty:
                    frame = ": hb\n\n"
                if frame is None:
                    break
                self.wfile.write(frame.encode())
                self.wfile.flush()
        except OSError:
            pass  # the browser has gone
        finally:
            site.streams.remove(stream)
            self.close_connection = True

    def reply(
        self, status: int, body: Any, kind: str = "application/json", headers: dict[str, str] | None = None
    ) -> None:
        raw = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        given = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(raw)),
            "Cache-Control": "no-store",
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Expose-Headers": "Retry-After",
        }
        for name, value in {**given, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(raw)
        except OSError:
            self.close_connection = True  # the browser has gone


class Server(ThreadingHTTPServer):
    """One thread a connection; none of them outlives the tests, none of them complains of a browser that went."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: browsers drop connections as they like."""


def serve() -> tuple[Server, Site]:
    """A running server and the site that it serves."""

    class Bound(Handler):
        pass

    server = Server(("127.0.0.1", 0), Bound)
    Bound.site = Site(server.server_port)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server, Bound.site


PICTURE = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 640 360'><rect width='640' height='360' fill='#dfe7dc'/>"
    "<circle cx='330' cy='190' r='92' fill='#8aa58c'/><path d='M238 190h184v40a92 92 0 0 1-184 0z' fill='#5f7f68'/>"
    "<path d='M420 170c60-10 60 70 6 66' fill='none' stroke='#5f7f68' stroke-width='16'/></svg>"
)
