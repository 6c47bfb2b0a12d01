"""The way out: only to whom it may, with an end to everything, and told apart what came of it (F36; I6, I9)."""

import socket
import struct
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from backend.channels.base import CHANNEL_DOWN
from backend.channels.outbound import (
    TARGET_REFUSED,
    Allowed,
    Outbound,
    checked_addresses,
    fetch_out,
    is_public,
    refusal,
)
from backend.domain.web_address import parse_web_address
from backend.errors import DeliveryError
from tests.integration.web_server import Asked, answer, certificate, web_server

LOCAL = Allowed.of("127.0.0.1")
QUICK = Outbound(allowed=LOCAL, connect_seconds=1, total_seconds=1)


def failure(out: Outbound, url: str, method: str = "POST", **more: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        fetch_out(out, method, url, **more)
    return caught.value


def test_a_request_arrives_as_it_was_meant_and_so_does_its_answer() -> None:
    with web_server(answer(201, "made", X_Id="7")) as server:
        got = fetch_out(QUICK, "PUT", server.url("/a%2Fb?q=ü x"), {"X-Who": "me"}, b'{"a": 1}')
    assert (got.status, got.headers["x-id"], got.body) == (201, "7", b"made")
    [asked] = server.asked
    assert (asked.method, asked.path, asked.body) == ("PUT", "/a%2Fb?q=%C3%BC%20x", b'{"a": 1}')
    assert asked.headers["host"] == f"127.0.0.1:{server.port}"
    assert asked.headers["x-who"] == "me"
    assert asked.headers["content-length"] == "8"


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.255", "169.254.169.254"),
        *("172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1"),
        *("203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.88.99.1"),
        *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1"),
        *("2002:7f00:1::", "2001::1", "2001:db8::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "fec0::1"),
        *("ff02::1", "100::1", "3fff::1", "5f00::1", "4000::1"),
    ],
)
def test_what_is_no_part_of_the_internet_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))
    out = Outbound(resolve=lambda _host, _port: [address])
    refused = failure(out, "https://hooks.example/")
    assert (refused.code, refused.permanent) == (TARGET_REFUSED, True)
    assert address not in refused.message, "the network inside stays unknown"
    mixed = Outbound(resolve=lambda _host, _port: ["93.184.216.34", address])
    assert failure(mixed, "https://hooks.example/").code == TARGET_REFUSED


@pytest.mark.parametrize("address", ["8.8.8.8", "100.128.0.1", "172.32.0.1", "::ffff:8.8.8.8", "2606:4700::1111"])
def test_what_is_part_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        *("http://8.8.8.8/", "https://8.8.8.8:8443/", "https://127.0.0.1/", "https://[::1]/", "https://localhost/"),
        *("https://redis/", "https://a.localhost/", "https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/"),
        *("https://127.1/", "https://①②⑦.0.0.1/", "https://[::ffff:127.0.0.1]/", "https://169.254.169.254/latest"),
        *("file:///etc/passwd", "gopher://8.8.8.8/", "https://a@8.8.8.8/", "https://8.8.8.8\\@10.0.0.1/", "//8.8.8.8/"),
        *("https://8.8.8.8:0/", "https://8.8.8.8:99999/", "https://a.example/../x", "https://a.example/%2e%2E/x", ""),
        *("https://a.example/\r\nX: y", "https://a..example/", "https://-a.example/", "https://a b.example/"),
    ],
)
def test_an_address_that_must_not_be_called_is_refused_before_anything_is_looked_up(url: str) -> None:
    def nobody(_host: str, _port: int) -> list[str]:
        raise AssertionError("it was looked up")

    refused = failure(Outbound(resolve=nobody), url)
    assert (refused.code, refused.permanent, refused.ambiguous) == (TARGET_REFUSED, True, False)


@pytest.mark.parametrize(
    ("setting", "url", "addresses", "open_"),
    [
        ("hooks.lan", "https://hooks.lan/", ["10.0.0.5"], True),
        ("hooks.lan", "http://hooks.lan:9000/", ["10.0.0.5"], True),
        ("hooks.lan:9000", "http://hooks.lan:9000/", ["10.0.0.5"], True),
        ("hooks.lan:9000", "http://hooks.lan:9001/", ["10.0.0.5"], False),
        ("hooks.lan", "http://other.lan/", ["10.0.0.5"], False),
        ("10.0.0.0/8", "http://other.lan/", ["10.0.0.5"], True),
        ("10.0.0.0/8", "http://other.lan/", ["10.0.0.5", "192.168.0.1"], False),
        ("10.0.0.0/8", "http://other.lan/", ["10.0.0.5", "8.8.8.8"], False),
        ("10.0.0.0/8", "http://public.example/", ["8.8.8.8"], False),
        ("10.0.0.0/8", "https://public.example/", ["8.8.8.8"], True),
        ("10.0.0.0/8", "https://mapped.example/", ["::ffff:10.0.0.5"], True),
        ("fd00::/8", "http://[fd00::1]:80/", [], True),
        ("[fd00::1]:81", "http://[fd00::1]:80/", [], False),
        ("8.8.8.8:8443", "https://8.8.8.8:8443/", [], True),
        ("public.example:8443", "https://public.example:8443/", ["8.8.8.8"], True),
        ("localhost", "http://LOCALHOST.:3000/", ["127.0.0.1"], True),
    ],
)
def test_a_private_target_can_be_allowed_by_name_by_place_and_by_network(
    setting: str, url: str, addresses: list[str], open_: bool
) -> None:
    tried: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        tried.append(host)
        return addresses

    out = Outbound(allowed=Allowed.of(setting), resolve=resolve)
    place = parse_web_address(url)
    if open_:
        assert checked_addresses(out, place) == [ip_address(each) for each in addresses or [place.host]]
    else:
        with pytest.raises(DeliveryError) as caught:
            checked_addresses(out, place)
        assert caught.value.code == TARGET_REFUSED
    assert len(tried) <= 1, "a name is looked up once"


def test_what_a_rule_may_not_name_is_told_when_it_is_written() -> None:
    assert refusal(parse_web_address("https://hooks.example/x"), Allowed()) is None
    for url in ("http://hooks.example", "https://10.0.0.1", "https://db", "https://hooks.example:22"):
        assert refusal(parse_web_address(url), Allowed()) is not None
    assert refusal(parse_web_address("http://hooks.example"), Allowed.of("10.0.0.0/8")) is None  # it may lead there


def test_the_certificate_must_be_of_the_name_that_was_asked_for_and_the_address_of_the_check(tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path, "hooks.example")
    seen: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: seen.append(name)
    with web_server(tls=context) as server:
        looked_up: list[str] = []

        def resolve(host: str, _port: int) -> list[str]:
            looked_up.append(host)
            return ["127.0.0.1"]

        out = Outbound(allowed=Allowed.of("127.0.0.1"), resolve=resolve, trusted=str(trusted), total_seconds=5)
        assert fetch_out(out, "POST", server.url(host="hooks.example"), body=b"{}").status == 200
        assert seen == looked_up == ["hooks.example"]
        assert server.asked[0].headers["host"] == f"hooks.example:{server.port}"
        wrong = failure(out, server.url(host="other.example"))
        assert "certificate" in wrong.message
        assert (wrong.code, wrong.permanent, wrong.ambiguous) == (CHANNEL_DOWN, False, False)
        unknown = Outbound(allowed=Allowed.of("127.0.0.1"), resolve=resolve, total_seconds=5)
        assert "certificate" in failure(unknown, server.url(host="hooks.example")).message
    assert len(server.asked) == 1


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with web_server() as elsewhere, web_server(answer(302, Location=elsewhere.url())) as server:
        assert fetch_out(QUICK, "POST", server.url()).status == 302
    assert elsewhere.asked == []


def hang(_asked: Asked, connection: socket.socket) -> None:
    time.sleep(3)


def drip_headers(_asked: Asked, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in range(100):
        connection.sendall(f"X-{number}: y\r\n".encode())
        time.sleep(0.1)


def drip_body(_asked: Asked, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(100):
        connection.sendall(b"x")
        time.sleep(0.1)


def endless(_asked: Asked, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def endless_chunks(_asked: Asked, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")


def reset(_asked: Asked, connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("script", [hang, drip_headers])
def test_an_answer_that_does_not_come_in_time_is_none(script: Any) -> None:
    with web_server(script) as server:
        late = failure(QUICK, server.url())
    assert (late.code, late.permanent, late.ambiguous) == (CHANNEL_DOWN, False, True)
    assert late.message == "No answer within 1 s."


def test_a_clear_status_counts_however_the_body_drips() -> None:
    with web_server(drip_body) as server:
        got = fetch_out(QUICK, "POST", server.url())
    assert got.status == 200
    assert 0 < len(got.body) < 50


@pytest.mark.parametrize("script", [endless, endless_chunks])
def test_of_a_body_without_end_64_kb_are_read(script: Any) -> None:
    with web_server(script) as server:
        got = fetch_out(Outbound(allowed=LOCAL, total_seconds=5), "POST", server.url())
    assert (got.status, len(got.body)) == (200, 65536)


def test_a_connection_that_breaks_after_the_request_leaves_it_open_whether_it_was_read() -> None:
    with web_server(reset) as server:
        lost = failure(QUICK, server.url())
    assert (lost.permanent, lost.ambiguous) == (False, True)
    assert lost.code != CHANNEL_DOWN


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 two hundred\r\n\r\n", b"\x00" * 1000])
def test_an_answer_that_makes_no_sense_is_none(said: bytes) -> None:
    with web_server(said or reset) as server:
        assert not failure(QUICK, server.url()).permanent


def test_headers_without_end_are_given_up() -> None:
    def many(_asked: Asked, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-Again: y\r\n" * 1000)

    with web_server(many) as server:
        assert failure(QUICK, server.url()).ambiguous


def test_nobody_there_and_a_name_that_leads_nowhere_are_told_from_a_refusal() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = failure(QUICK, f"http://127.0.0.1:{probe.getsockname()[1]}/")
    assert (closed.code, closed.permanent, closed.ambiguous) == (CHANNEL_DOWN, False, False)

    def nowhere(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    lost = failure(Outbound(resolve=nowhere), "https://hooks.example/")
    assert (lost.code, lost.permanent) == (CHANNEL_DOWN, False)


def test_where_one_address_does_not_answer_the_next_is_tried() -> None:
    with web_server() as server:
        out = Outbound(allowed=Allowed.of("127.0.0.0/8"), resolve=lambda _host, _port: ["127.0.0.9", "127.0.0.1"])
        assert fetch_out(out, "POST", server.url(host="two.example")).status == 200


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with web_server() as proxy, web_server() as server:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        assert fetch_out(QUICK, "POST", server.url()).status == 200
    assert proxy.asked == []


def test_a_header_cannot_smuggle_another() -> None:
    with web_server() as server:
        for headers in ({"X": "a\r\nY: b"}, {"X\r\nY": "b"}, {"X": "ü🍵"}):
            failure(QUICK, server.url(), headers=headers)
    assert server.asked == []
