"""A device is read from what the browser says of itself; an agent that is known already is not parsed anew."""

from unittest.mock import Mock

import pytest
import user_agents

from backend.domain.device import AGENT_LIMIT, agent_of, device_of

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Counts what is parsed, with caches that know nothing yet."""
    counting = Mock(wraps=user_agents.parse)
    monkeypatch.setattr(user_agents, "parse", counting)
    agent_of.cache_clear()
    return counting


def test_a_user_agent_is_parsed_once_whatever_else_differs(parsed: Mock) -> None:
    agent = f"{PHONE} once"
    for locale in ("de-AT", "en-GB"):
        for width in range(300, 310):
            device = device_of({"userAgent": agent, "locale": locale, "screen": {"width": width, "height": 800}})
            assert device is not None
            assert (device.type, device.os, device.locale) == ("mobile", "iOS", locale)
    assert parsed.call_count == 1


def test_a_busy_site_knows_the_agents_of_its_visitors_and_keeps_a_bounded_number(parsed: Mock) -> None:
    assert agent_of.cache_info().maxsize == 10_000
    parsed.side_effect = lambda agent: parsed.return_value
    parsed.return_value = user_agents.parsers.UserAgent("Mozilla/5.0")
    for number in range(12_000):
        agent_of(f"Agent/{number}")
    assert agent_of.cache_info().currsize == 10_000
    agent_of("Agent/11999")
    assert parsed.call_count == 12_000


def test_no_more_than_the_beginning_of_an_agent_is_looked_at(parsed: Mock) -> None:
    for end in ("a", "b"):
        device_of({"userAgent": f"{PHONE} {'x' * AGENT_LIMIT} {end}"})
    assert parsed.call_count == 1
    [seen] = parsed.call_args.args
    assert len(seen) == AGENT_LIMIT
