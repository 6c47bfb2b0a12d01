"""Batches that no decoder takes as a whole are taken apart; everything else is left to the decoder."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.schemas.salvage import depth_of, salvage
from backend.schemas.wire import decode_batch, message_id_of

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(json_values, max_size=6), json_values, st.booleans())
def test_every_batch_is_taken_apart_into_its_events(events: list[Any], other: Any, spaced: bool) -> None:
    body = json.dumps({"other": other, "batch": events, "more": [other]}, indent=1 if spaced else None).encode()
    found = salvage(body)
    assert found is not None
    assert [json.loads(bytes(raw)) for raw in found.batch] == events


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        (b'{"batch":[{"a":NaN},{"b":"\\ud800"}]}', [b'{"a":NaN}', b'{"b":"\\ud800"}']),
        (b'{"x":{"batch":[1,2]},"batch":[ 3 , "4]," ],"y":"]"}', [b"3", b'"4],"']),
        (b'{"x":"\\"batch\\":[","batch":[[[1,2],[3]],{}]}', [b"[[1,2],[3]]", b"{}"]),
        (b'{"batch":[' + b"[" * 9_000 + b"]" * 9_000 + b",1]}", [b"[" * 9_000 + b"]" * 9_000, b"1"]),
    ],
)
def test_its_events_are_found_wherever_they_lie(body: bytes, texts: list[bytes]) -> None:
    found = salvage(body)
    assert found is not None
    assert [bytes(raw) for raw in found.batch] == texts


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"batch":7}',
        b'{"batch":[1}',
        b'{"batch":[1]',
        b'{"batch":[1]}}',
        b'{"batch":[1,]}',
        b'{"batch":[oops]}',
        b'{"batch":["]}',
        b'{"batch":[1],"batch":[2]}',
        b'{"batch":[1],"sentAt":NaN}',
        b'"batch":[1]',
        b'[{"batch":[1]}]',
        b'"' * 400_001,
        b'{"batch":["' + b"\\" * 300_000,
    ],
)
def test_what_is_no_batch_stays_none(body: bytes) -> None:
    assert salvage(body) is None


def test_what_is_taken_apart_reads_as_what_was_decoded_whole() -> None:
    events = b'{"a":"\\u0041,]}"},{"b":[1,{"c":"\\\\"}]}'
    body = b'{"writeKey":"k","batch":[%b],"sentAt":"2026-03-01T00:00:00Z","context":{"x":1}}' % events
    whole, apart = decode_batch(body), salvage(body)
    assert apart is not None
    assert [bytes(raw) for raw in apart.batch] == [bytes(raw) for raw in whole.batch]
    assert (apart.write_key, apart.sent_at, bytes(apart.context)) == (
        whole.write_key,
        whole.sent_at,
        bytes(whole.context),
    )


@pytest.mark.parametrize(
    ("text", "depth"),
    [(b"1", 0), (b"[]", 1), (b'{"a":[{"b":1}]}', 3), (b'"[[["', 0), (b'["\\"[",[]]', 2), (b"[],[]", 1)],
)
def test_depth(text: bytes, depth: int) -> None:
    assert depth_of(text) == depth


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b'{"messageId":"m"}', "m"),
        (b'{"messageId":"' + b"x" * 200 + b'"}', "x" * 100),
        (b'{"messageId":7}', None),
        (b'{"messageId" : "m","x":NaN}', "m"),
        (b'{"messageId":"\\ud800"}', None),
        (b"[]", None),
        (b"oops", None),
    ],
)
def test_the_message_id_is_told_where_it_can_be(raw: bytes, found: str | None) -> None:
    assert message_id_of(raw) == found
