"""Whoever sends too fast waits, and nobody else does."""

import pytest

from backend.web.throttle import BURST_SECONDS, Throttle, address_of


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_then_the_rate_holds() -> None:
    clock = Clock()
    limit = Throttle(5, clock)
    passed = 0
    while not limit.wait("a"):
        passed += 1
    assert passed in {5 * BURST_SECONDS, 5 * BURST_SECONDS + 1}
    assert limit.wait("b") == 0.0
    wait = limit.wait("a")
    assert 0 < wait <= 0.21
    clock.now += wait + 0.001
    assert limit.wait("a") == 0.0
    assert limit.wait("a") > 0
    for _ in range(100):
        clock.now += 0.201
        assert limit.wait("a") == 0.0


def test_no_rate_holds_nobody_back() -> None:
    limit = Throttle(0)
    assert not any(limit.wait("a") for _ in range(10_000))


def test_memory_is_bounded_and_those_who_are_held_back_stay_so() -> None:
    clock = Clock()
    limit = Throttle(10, clock, most_addresses=100)
    while not limit.wait("loud"):
        pass
    for number in range(1_000):
        limit.wait(f"quiet {number}")
        clock.now += 0.01
        assert len(limit._free_at) <= 100
    assert "loud" in limit._free_at


@pytest.mark.parametrize(
    ("forwarded", "proxies", "address"),
    [
        (None, 0, "peer"),
        ("1.1.1.1", 0, "peer"),
        (None, 1, "peer"),
        ("9.9.9.9, 1.1.1.1", 1, "1.1.1.1"),
        ("9.9.9.9, 1.1.1.1, 2.2.2.2", 2, "1.1.1.1"),
        ("1.1.1.1", 2, "1.1.1.1"),
    ],
)
def test_only_trusted_proxies_tell_the_address(forwarded: str | None, proxies: int, address: str) -> None:
    assert address_of("peer", forwarded, proxies) == address
