"""From which address somebody came is written down nowhere: not in the database, not in Redis, not in a log."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.up_process import Up

FOURTH, SIXTH = "203.0.113.77", "2001:db8:aaaa:bbbb:1:2:3:4"
LATER = ("198.51.100.201", "198.51.100.202")
"""Those of callers who do something wrong, which is logged."""


def ask(url: str, address: str, body: Any = None, method: str = "POST", **headers: str) -> int:
    """The status of a request that a proxy passes on for this address."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    told = {
        "X-Forwarded-For": address,
        "X-Real-IP": address,
        "Forwarded": f'for="{address}"',
        "CF-Connecting-IP": address,
        "Content-Type": "text/plain",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    request = urllib.request.Request(url, data=data, method=method, headers=told)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read(1)
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return int(error.code)


@pytest.mark.long
@pytest.mark.timeout(150)
def test_no_address_is_stored_or_logged(tmp_path: Path) -> None:
    with Up(tmp_path / "var", CHIMEIN_PROXIES="1", CHIMEIN_CALLER_RATE="3") as up:
        up.wait_until_ready()
        for address in (FOURTH, SIXTH):
            who = {"anonymousId": f"visitor-of-{address[:4]}-0123456789"}
            page = {"type": "page", **who, "context": {"ip": address, "userAgent": "Mozilla/5.0", "clientIp": address}}
            typed = {"type": "track", "event": "Note", **who, "properties": {"ip": address, "remote_addr": address}}
            batch = {"writeKey": "demo", "batch": [page, typed], "context": {"ip": address}}
            assert ask(f"{up.url}/v1/batch", address, batch) == 200
            assert ask(f"{up.url}/v1/identify", address, {"writeKey": "demo", "userId": "u", **who}) == 200
            asked = {"writeKey": "demo", **who}
            with urllib.request.urlopen(f"{up.url}/v1/config?writeKey=demo", timeout=10) as answer:
                live = json.load(answer)["live"]
            assert ask(f"{live}/v1/live", address, asked) == 200
            assert ask(f"{up.url}/v1/inbox", address, asked) == 200
            for path in ("/", "/demo/", "/v1/config?writeKey=demo", "/chimein.js", "/healthz", "/api/docs"):
                assert ask(up.url + path, address, None, "GET") == 200, path
            bearer = {"Authorization": f"Bearer {up.token}"}
            assert ask(f"{up.url}/api/v1/sites/demo/visitors", address, None, "GET", **bearer) == 200
        for address in LATER:
            assert ask(f"{up.url}/api/v1/sites/demo/visitors", address, None, "GET", Authorization="Bearer x") == 401
            assert ask(f"{up.url}/v1/batch", address, b"{broken") == 400
            assert ask(f"{up.url}/v1/batch", address, {"writeKey": "nobody", "batch": []}) == 401
            assert ask(f"{live}/v1/live", address, {"writeKey": "nobody"}) == 401
            assert ask(f"{up.url}/nowhere", address, None, "GET") == 404
            hurried = [ask(f"{up.url}/v1/track", address, {"writeKey": "demo"}) for _ in range(80)]
            assert 429 in hurried
        up.wait_until_folded()
        visitors = json.dumps(up.call("GET", "/sites/demo/visitors"))
        up.call("GET", "/sites/demo/access-log")
    written = {path: path.read_bytes() for path in [*up.data_dir.rglob("*"), up.log] if path.is_file()}
    everything = b"".join(written.values()) + visitors.encode()
    assert b"visitor-of-203." in everything, "what is kept is looked at"
    assert b"203.0.113.0" in everything, "of an address that is told, where its net begins"
    assert b"2001:db8:aaaa::" in everything
    for address in (FOURTH, SIXTH, *LATER):
        found = [path.name for path, content in written.items() if address.encode() in content]
        assert found == [], f"{address} stands there"
        assert address not in visitors
