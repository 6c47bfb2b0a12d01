"""An operator who is shut out, removed or given less in the midst of their work is out at once; what waits is free."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backend.app import create_app
from backend.domain.conversation import Conversation
from backend.pipeline import converse, log_in
from backend.pipeline.converse import Speaker
from backend.pipeline.transfer import call_away
from backend.runtime import Runtime
from backend.storage import conversations, parts
from tests.contract.conftest import Api
from tests.contract.test_console_pages import Desk, desk, talk

__all__ = ["desk", "talk"]

COLLEAGUE = Speaker(None, "Bert")


@pytest.fixture
def stream(rt: Runtime) -> Iterator[Callable[[Desk, str], Iterator[str]]]:
    """Opens the console's stream of whoever sits at a desk; its frames, from the first that says that it is open."""
    live = create_app(rt.settings, "live", rt)
    opened: list[Any] = []

    def begin(who: Desk, site: str) -> Iterator[str]:
        client = live.test_client()
        cookie = who.client.get_cookie("chimein-console")
        assert cookie is not None
        client.set_cookie("chimein-console", cookie.value)
        answer = client.get(f"/console/{site}/stream", buffered=False)
        assert (answer.status_code, answer.mimetype) == (200, "text/event-stream")
        opened.append(answer)
        frames = iter(piece.decode() for piece in answer.iter_encoded())
        assert "hello" in next(frames)
        return frames

    yield begin
    for each in opened:
        each.close()
    rt.live.close()


def given(rt: Runtime, site: str, talk: Conversation, who: Desk) -> None:
    """The conversation is theirs to answer."""
    stored = rt.sites.by_id(site)
    assert stored is not None
    converse.change(rt, stored, talk.id, {"assignee_id": who.operator.id}, COLLEAGUE)


def say(rt: Runtime, site: str, talk: Conversation, text: str) -> None:
    stored = rt.sites.by_id(site)
    assert stored is not None
    converse.say(rt, stored, talk.id, text, COLLEAGUE)


def shut_out(api: Api, rt: Runtime, fate: str, who: str, site: str) -> None:
    path = f"/operators/{who}"
    if fate == "disabled":
        assert api("PATCH", path, {"disabled": True}).status_code == 200
    elif fate == "removed":
        assert api("DELETE", path).status_code == 204
    elif fate == "moved to another site":
        assert api("PATCH", path, {"memberships": [{"site": "other", "role": "operator"}]}).status_code == 200
    else:
        log_in.disable(rt, who)


@pytest.mark.parametrize("fate", ["disabled", "removed", "moved to another site", "by the command line"])
def test_who_is_shut_out_hears_and_says_nothing_more_and_what_was_theirs_is_anybodys(
    fate: str,
    api: Api,
    desk: Callable[..., Desk],
    stream: Callable[[Desk, str], Iterator[str]],
    rt: Runtime,
    site: str,
    other_site: str,
    talk: Conversation,
) -> None:
    anna, bert = desk("operator", name="Anna"), desk("operator", name="Bert")
    given(rt, site, talk, anna)
    frames, others = stream(anna, site), stream(bert, site)
    say(rt, site, talk, "while she is there")
    assert "while she is there" in next(each for each in frames if "event: part" in each)
    shut_out(api, rt, fate, anna.operator.id, site)
    say(rt, site, talk, "a secret of the shop")
    assert "a secret of the shop" not in "".join(frames), "the stream ends"
    assert any("a secret of the shop" in each for each in others), "that of others goes on"
    path = f"/{site}/inbox/{talk.id}"
    told = anna("POST", path + "/say", {"body": "one more word"})
    assert told.status_code in ({404} if fate.startswith("moved") else {401, 302, 403}), told.status_code
    assert anna.get(path).status_code in ({404} if fate.startswith("moved") else {302})
    with rt.db.read() as connection:
        after = conversations.find(connection, site, talk.id)
        said = parts.list_parts(connection, talk, limit=100)
    assert after is not None
    assert after.assignee_id is None
    assert "one more word" not in [each.text for each in said]
    events = [each for each in said if each.content.get("event") == "assigned"]
    assert [each.content["to"] for each in events] == [anna.operator.id, None]
    assert "gave it back" in bert.get(path + "/parts").text


def test_who_may_only_look_from_now_on_answers_nobody_but_goes_on_looking(
    api: Api,
    desk: Callable[..., Desk],
    stream: Callable[[Desk, str], Iterator[str]],
    rt: Runtime,
    site: str,
    talk: Conversation,
) -> None:
    anna = desk("operator", name="Anna")
    given(rt, site, talk, anna)
    frames = stream(anna, site)
    told = {"memberships": [{"site": site, "role": "read_only"}]}
    assert api("PATCH", f"/operators/{anna.operator.id}", told).status_code == 200
    say(rt, site, talk, "still told")
    assert any("still told" in each for each in frames)
    assert anna("POST", f"/{site}/inbox/{talk.id}/say", {"body": "x"}).status_code == 403
    with rt.db.read() as connection:
        after = conversations.find(connection, site, talk.id)
    assert after is not None
    assert after.assignee_id is None


@pytest.mark.parametrize("way", ["logs out", "is to choose a new password"])
def test_who_logs_out_or_is_reset_is_out_in_every_tab(
    way: str,
    desk: Callable[..., Desk],
    stream: Callable[[Desk, str], Iterator[str]],
    rt: Runtime,
    site: str,
    talk: Conversation,
) -> None:
    anna = desk("operator", name="Anna")
    given(rt, site, talk, anna)
    frames = stream(anna, site)
    call_away(rt, anna.operator.id)  # a word to look again ends nothing
    say(rt, site, talk, "she is there")
    assert any("she is there" in each for each in frames)
    if way == "logs out":
        assert anna("POST", "/logout", {"x": "y"}).status_code == 303
    else:
        log_in.reset(rt, anna.operator.id)
    say(rt, site, talk, "a secret of the shop")
    assert "a secret of the shop" not in "".join(frames)
    with rt.db.read() as connection:
        after = conversations.find(connection, site, talk.id)
    assert after is not None
    assert after.assignee_id == anna.operator.id, "she comes back"
