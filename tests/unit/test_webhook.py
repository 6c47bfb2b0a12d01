"""Webhooks by themselves: the signature, what an answer means, when to try again."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.web_address import parse_web_address
from backend.domain.webhook import BACK_OFF, MOST_ATTEMPTS, next_try, sign, verdict, webhook_secret

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
END = NOW + timedelta(days=1)


def test_the_signature_is_that_of_the_standards_own_example() -> None:
    headers = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_sites_secret_follows_from_its_key_and_does_not_tell_it() -> None:
    secret = webhook_secret("chi_sec_one")
    assert secret == webhook_secret("chi_sec_one") != webhook_secret("chi_sec_two")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert "chi_sec_one" not in secret


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        *((status, "delivered") for status in (200, 201, 202, 204, 299)),
        *((status, "failed") for status in (400, 401, 403, 404, 409, 410, 422, 499)),
        *((status, "again") for status in (101, 301, 304, 308, 408, 425, 429, 500, 502, 503, 504, 599, 999)),
    ],
)
def test_what_an_answer_means(status: int, meaning: str) -> None:
    assert verdict(status) == meaning


def test_each_try_waits_longer_and_the_last_one_is_a_day_after_the_promise() -> None:
    now, attempts, waits = NOW, 0, []
    while (due := next_try(attempts := attempts + 1, now, END)) is not None:
        waits.append(due - now)
        now = due
    assert tuple(waits[: len(BACK_OFF)]) == BACK_OFF
    assert now == END


@given(st.integers(1, 60), st.integers(-10, 90_000), st.one_of(st.none(), st.integers(-10, 200_000)))
def test_a_next_try_is_never_earlier_than_asked_for_nor_now_and_never_after_the_end(
    attempts: int, passed: int, asked: int | None
) -> None:
    now = NOW + timedelta(seconds=passed)
    not_before = None if asked is None else now + timedelta(seconds=asked)
    due = next_try(attempts, now, END, not_before)
    if due is None:
        assert now >= END or attempts >= MOST_ATTEMPTS or (not_before is not None and not_before > END)
    else:
        assert now < due <= END
        assert not_before is None or due >= not_before


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("HTTPS://Shop.Example", "https://shop.example/"),
        ("https://shop.example:443/a?b#c", "https://shop.example/a?b"),
        ("http://shop.example:80/", "http://shop.example/"),
        ("http://shop.example:8080", "http://shop.example:8080/"),
        ("https://bücher.example/ü?ü=ü ü", "https://xn--bcher-kva.example/%C3%BC?%C3%BC=%C3%BC%20%C3%BC"),
        ("https://[2606:4700:0:0::1]/a%2Fb", "https://[2606:4700::1]/a%2Fb"),
        ("https://shop.example?q=1", "https://shop.example/?q=1"),
        ("https://shop.example./x", "https://shop.example/x"),
        (" https://shop.example/x ", "https://shop.example/x"),
        ("https://shop.example/a/b?c=../d", "https://shop.example/a/b?c=../d"),
    ],
)
def test_an_address_is_written_in_one_way(text: str, written: str) -> None:
    address = parse_web_address(text)
    assert str(address) == written
    assert parse_web_address(written) == address


@given(st.text(max_size=40), st.sampled_from(["", "https://", "https://shop.example/", "http://[", "https://a:"]))
def test_any_text_is_an_address_that_reads_the_same_again_or_a_value_error(text: str, before: str) -> None:
    try:
        address = parse_web_address(before + text)
    except ValueError:
        return
    assert str(address).isascii()
    assert not set(str(address)) & set(" \r\n\t\\\0")
    assert parse_web_address(str(address)) == address
