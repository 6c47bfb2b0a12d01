"""Whatever happens on several devices, in whatever order it arrives, and however often: nobody becomes another."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from backend.domain.identity import anonymous_visitor, known_visitor
from backend.domain.profile import Profile, new_profile
from backend.pipeline.merge import merge_visitors
from backend.pipeline.unmerge import unmerge
from backend.schemas.documents import encode_profile
from backend.storage import merges, visitors
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, at, open_shop
from tests.core_histories import step

DEVICES = ("phone", "laptop", "kiosk")
USERS = ("u", "v")
HISTORY = settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ROUND = count()


@pytest.fixture
def shop(tmp_path: Path, sqlite_url: str, redis_url: str) -> Iterator[Shop]:
    """A shop with one partition: what is sent is folded in this order, whatever the ids."""
    with open_shop(sqlite_url, redis_url, tmp_path, partitions="1") as opened:
        yield opened


@st.composite
def said(draw: st.DrawFn, most: int = 14) -> list[dict[str, Any]]:
    """Calls from several devices in the order in which they arrive, some of them twice, without their names' prefix."""
    calls: list[dict[str, Any]] = []
    moments = draw(st.lists(st.integers(-180, 0), min_size=1, max_size=most, unique=True))
    for number, minutes in enumerate(moments):
        made: dict[str, Any] = {"messageId": f"m{number}", "timestamp": at(minutes=minutes).isoformat()}
        device, user = draw(st.sampled_from(DEVICES)), draw(st.sampled_from(USERS))
        kind = draw(st.sampled_from(["track", "track", "track", "both", "backend", "identify", "alias", "reset"]))
        if kind in ("track", "both", "backend"):
            name, properties = draw(step())
            made |= {"type": "track", "event": name, "properties": properties}
            made |= {} if kind == "backend" else {"anonymousId": device}
            made |= {} if kind == "track" else {"userId": user}
        elif kind == "identify":
            traits = draw(st.fixed_dictionaries({}, optional={"plan": st.sampled_from(["free", "paid"])}))
            made |= {"type": "identify", "anonymousId": device, "userId": user, "traits": traits}
        elif kind == "alias":
            made |= {"type": "alias", "userId": user, "previousId": draw(st.sampled_from([*DEVICES, *USERS]))}
        else:
            # What the page does when somebody else signs in: a new anonymous id, and the sign-in under it.
            made |= {"type": "identify", "anonymousId": f"{device}-{number}", "userId": user}
        calls.append(made)
    again = draw(st.lists(st.sampled_from(calls), max_size=3))
    return [*calls, *again]


def prefixed(calls: list[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    names = ("messageId", "anonymousId", "userId", "previousId")
    return [{key: f"{prefix}{value}" if key in names else value for key, value in each.items()} for each in calls]


def comparable(profile: Profile, prefix: str) -> Any:
    """What the API tells, without when an id was seen, the order of sets, and the prefix of this round."""
    # A stage is noted where its event comes in, also one that is late; taken apart, it stands where it happened.
    ours: dict[str, Any] = {"wake_at": None, "woken_at": None, "refused": {}, "segments_at": None, "stage_history": ()}
    told = json.loads(encode_profile(replace(profile, id="", person="", **ours)))
    empty = new_profile("", "")
    told = {name: value for name, value in told.items() if getattr(profile, name) != getattr(empty, name)}
    told["anonymous_ids"] = sorted(profile.anonymous_ids)
    told["members"] = len(profile.members)
    for change in told.get("cart_log", ()):
        del change["order"]
    told["identifiers"] = sorted(
        [each.kind, each.value, each.source]
        if each.kind.endswith("_id")
        else [each.kind, each.value, each.source, each.page, each.field, str(each.first_seen), str(each.last_seen)]
        for each in profile.identifiers
    )
    return json.loads(re.sub(re.escape(prefix), "", json.dumps(told)))


def pieces(draw: st.DataObject, calls: list[Any]) -> list[list[Any]]:
    """The calls in batches."""
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(calls)), max_size=3)))
    return [calls[start:end] for start, end in zip([0, *cuts], [*cuts, len(calls)], strict=True) if start < end]


def groups(shop: Shop, prefix: str) -> list[set[str]]:
    """The ids of each person of this round."""
    ids = [known_visitor(shop.site.id, prefix + each) for each in USERS]
    with shop.rt.db.read() as connection:
        found = [visitors.load_profile(connection, each) for each in ids]
    return [{each.id, *each.members} for each in found if each is not None]


@HISTORY
@given(calls=said(), data=st.data())
def test_two_user_ids_are_never_one_visitor_unless_somebody_says_so(
    shop: Shop, calls: list[dict[str, Any]], data: st.DataObject
) -> None:
    prefix = f"a{next(ROUND)}-"
    users = {known_visitor(shop.site.id, prefix + each) for each in USERS}
    joined = False
    for batch in pieces(data, prefixed(calls, prefix)):
        shop.send(*batch)
        everybody = groups(shop, prefix)
        assert all(len(group & users) <= 1 for group in everybody) or joined
        act = data.draw(st.sampled_from(["nothing", "merge", "undo"]))
        if act == "merge" and not joined and len(everybody) == 2:
            merge_visitors(shop.rt, shop.site, *sorted(users), "tests")
            assert groups(shop, prefix)[0] >= users
            joined = True
        elif act == "undo" and everybody:
            with shop.rt.db.read() as connection:
                journal = merges.list_merges(connection, sorted(set().union(*everybody)), 200)
            stands = [each for each in journal if each.undone_at is None]
            if stands:
                chosen = data.draw(st.sampled_from(stands))
                unmerge(shop.rt, shop.site, chosen.member_id, chosen.id, "tests")
                joined = joined and chosen.source != "api"
    with shop.rt.db.read() as connection:
        for group in groups(shop, prefix):
            rows = visitors.load(connection, group)
            roots = [key for key, row in rows.items() if row.merged_into is None]
            assert len(roots) == 1, "everybody of a group leads to its one person"
            assert {row.merged_into for key, row in rows.items() if key not in roots} <= {roots[0]}


@pytest.mark.parametrize("known", ["users", "browsers"])
@HISTORY
@given(before=said(), meanwhile=said(8), afterwards=said(6), data=st.data())
def test_after_an_undo_everything_is_as_if_there_had_been_no_merge(
    shop: Shop,
    known: str,
    before: list[dict[str, Any]],
    meanwhile: list[dict[str, Any]],
    afterwards: list[dict[str, Any]],
    data: st.DataObject,
) -> None:
    number = next(ROUND)
    plain, merged = f"p{number}-", f"q{number}-"
    parts = [
        [{**each, "messageId": f"{name}{each['messageId']}"} for each in part]
        for name, part in (("x", before), ("y", meanwhile), ("z", afterwards))
    ]
    if known == "browsers":
        # Nobody signs in while two browsers are one by hand: whoever then does, does so on both.
        parts = [[each for each in part if each["type"] == "track" and "userId" not in each] for part in parts]
    for prefix in (plain, merged):
        made: Any = None
        for stage, part in enumerate(parts):
            if part:
                shop.send(*prefixed(part, prefix))
            if prefix != merged:
                continue
            name = known_visitor if known == "users" else anonymous_visitor
            pair = [name(shop.site.id, prefix + each) for each in (USERS if known == "users" else DEVICES[:2])]
            with shop.rt.db.read() as connection:
                there = visitors.load(connection, pair)
            if stage == 0 and len(there) == 2:
                made = merge_visitors(shop.rt, shop.site, *data.draw(st.permutations(pair)), "tests").merge
            elif stage == 1 and made is not None:
                unmerge(shop.rt, shop.site, data.draw(st.sampled_from(pair)), made.id, "tests")
    for name in DEVICES:
        one, other = shop.find(plain + name), shop.find(merged + name)
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert comparable(one, plain) == comparable(other, merged)
    for user in USERS:
        one, other = shop.find(user_id=plain + user), shop.find(user_id=merged + user)
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert comparable(one, plain) == comparable(other, merged)


@HISTORY
@given(calls=said(), later=said(8), data=st.data())
def test_a_browser_taken_out_has_its_own_and_the_person_theirs(
    shop: Shop, calls: list[dict[str, Any]], later: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Of every link that an event made: undone, both are what folding the events that name them gives."""
    from tests.integration.test_merges import comparable as without_order
    from tests.integration.test_merges import folded

    prefix = f"r{next(ROUND)}-"
    shop.send(*prefixed(calls, prefix))
    everybody = groups(shop, prefix)
    if not everybody:
        return
    with shop.rt.db.read() as connection:
        journal = merges.list_merges(connection, sorted(set().union(*everybody)), 200)
    if not journal:
        return
    chosen = data.draw(st.sampled_from(journal))
    unmerge(shop.rt, shop.site, chosen.visitor_id, chosen.id, "tests")
    shop.clock.forward(seconds=1)
    calls_later = [{**each, "messageId": f"z{each['messageId']}"} for each in later]
    browsers = {each.get("anonymousId") for each in calls}
    elsewhere = [each for each in calls_later if each["type"] == "track" or each.get("anonymousId") in browsers]
    shop.send(*prefixed([each for each in elsewhere if each["type"] != "alias"], prefix))
    with shop.rt.db.read() as connection:
        for key in (chosen.visitor_id, chosen.member_id):
            found = visitors.load_profile(connection, key)
            if found is None:
                continue
            again = replace(folded(shop, found.id, *found.members), person=found.person)
            assert without_order(found) == without_order(again)
        root = visitors.load_profile(connection, chosen.visitor_id)
        assert root is not None
        assert chosen.member_id not in root.members
