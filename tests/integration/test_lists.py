"""Lists from files: each row is answered for, and what is accepted takes its turn in the log; and back into files."""

import csv
import io
import json
from dataclasses import replace
from typing import Any

from backend.errors import Unavailable
from backend.pipeline.enlist import Enlisted, enlist
from backend.schemas.member_file import Row
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, call, identify
from tests.integration.test_segments import ask, good, make, members, new_rule


def send(shop: Shop, segment: str, body: str | bytes, kind: str = "text/csv", query: str = "", **headers: str) -> Any:
    headers = {"Authorization": f"Bearer {shop.rt.settings.admin_token}", "Content-Type": kind, **headers}
    path = f"/api/v1/sites/{shop.site.id}/segments/{segment}/import{query}"
    return shop.client.post(path, data=body, headers=headers)


def people(shop: Shop) -> None:
    shop.send(
        *(identify(f"u{each}", {"email": f"U{each}@shop.example"}, anonymousId=f"b{each}") for each in range(4)),
        identify("twin", {"email": "u3@shop.example"}, anonymousId="b9"),
        call("Page Viewed", anonymousId="nobody known"),
    )


def test_every_row_of_a_file_is_accepted_or_told_of(each_shop: Shop) -> None:
    shop = each_shop
    people(shop)
    vip = make(shop, "vip")
    new_rule(shop, name="in", trigger={"segment": vip}, reentry={"policy": "every"})
    known = shop.profile("b1").id
    file = (
        "email,user_id,anonymous_id,visitor_id,note\n"
        "u0@shop.example,,,,by mail\n"
        f",,,{known},by id\n"
        ",,nobody known,,by browser\n"
        "nobody@shop.example,,,,\n"
        "u3@shop.example,,,,two have it\n"
        "u0@shop.example,u1,,,not the same\n"
        "u3@shop.example,u3,,,still two by mail\n"
        "a,b\n"
        ",u0,,,again\n"
        ",,,ffffffffffffffffffffffffffffffff,\n"
    )
    dry = good(send(shop, vip, file, query="?dry_run=true"))
    told = good(send(shop, vip, file))
    assert told == dry
    assert {key: told[key] for key in ("rows", "accepted", "not_found", "ambiguous", "broken", "stopped_at")} == {
        "rows": 10,
        "accepted": 4,
        "not_found": 2,
        "ambiguous": 3,
        "broken": 1,
        "stopped_at": None,
    }
    assert [(each["line"], each["code"]) for each in told["problems"]] == [
        (5, "not_found"),
        (6, "ambiguous"),
        (7, "ambiguous"),
        (8, "ambiguous"),
        (9, "broken"),
        (11, "not_found"),
    ]
    assert told["problems"][0]["message"] == 'No visitor has the email "nobody@shop.example".'
    assert told["problems"][2]["message"] == "Its email and user_id belong to different visitors."
    assert members(shop, vip) == []
    shop.processor.drain()
    assert members(shop, vip) == ["b0", "b1", "nobody known"]
    assert len(shop.messages()) == 3
    again = send(shop, vip, file, Accept="application/x-ndjson")
    lines = [json.loads(line) for line in again.data.splitlines()]
    assert lines[:-1] == told["problems"]
    assert lines[-1]["accepted"] == 4
    shop.processor.drain()
    assert len(shop.messages()) == 3, "who is on it already does not enter"
    gone = good(send(shop, vip, '{"user_id": "u0"}\n{"user_id": "u1"}', "application/x-ndjson", "?remove=true"))
    assert (gone["accepted"], gone["problems"]) == (2, [])
    shop.processor.drain()
    assert members(shop, vip) == ["nobody known"]


def test_an_address_that_was_only_typed_names_nobody_unless_the_site_says_so(shop: Shop) -> None:
    typed = {"form": "checkout", "field": "email", "page": "/checkout"}
    shop.send(
        identify("u0", {"email": "u0@shop.example"}, anonymousId="b0"),
        call("Form Field Filled", anonymousId="stranger", properties={**typed, "value": "U0@shop.example"}),
        call("Form Field Filled", anonymousId="somebody", properties={**typed, "value": "me@shop.example"}),
    )
    vip = make(shop, "vip")
    file = "email\nu0@shop.example\nme@shop.example\n"
    told = good(send(shop, vip, file))
    assert (told["accepted"], told["not_found"], told["ambiguous"]) == (1, 1, 0)
    [problem] = told["problems"]
    assert "only typed into a form" in problem["message"]
    shop.processor.drain()
    assert members(shop, vip) == ["b0"]
    [member] = good(ask(shop, "GET", f"/segments/{vip}/visitors"))["items"]
    assert member["facts"]["loyalty_rank"] == 0
    good(ask(shop, "PATCH", "", {"policy": {"unverified_email": True}}))
    told = good(send(shop, vip, file))
    assert [each["code"] for each in told["problems"]] == ["ambiguous"]


def test_what_is_no_file_is_refused(shop: Shop) -> None:
    vip, ruled = make(shop, "vip"), make(shop, "ruled", {"performed": "A"})
    assert send(shop, ruled, "email\n").status_code == 409
    assert send(shop, "nobody", "email\n").status_code == 404
    assert send(shop, vip, "{}", "application/json").status_code == 415
    assert send(shop, vip, "name\nJo\n").status_code == 400
    assert send(shop, vip, "email\n" + "x@shop.example\n" * 100_000).status_code == 413
    assert send(shop, vip, b"\xff\xfe\x00", "application/x-ndjson").json["broken"] == 1
    assert send(shop, vip, "email\n").json["rows"] == 0


def test_a_log_that_stays_full_is_told_with_the_line_from_which_to_go_on(shop: Shop) -> None:
    people(shop)
    vip = make(shop, "vip")

    class Full:
        partitions = shop.rt.log.partitions
        left = 1

        def append(self, chunks: Any) -> None:
            if not self.left:
                raise Unavailable("The log is full.", retry_after=5)
            self.left -= 1
            shop.rt.log.append(chunks)

    log: Any = Full()
    waited: list[float] = []
    rows = [Row(line, {"user_id": f"u{line % 4}"}) for line in range(2, 802)]
    *problems, done = enlist(replace(shop.rt, log=log), shop.site, vip, rows, sleep=waited.append)
    assert problems == []
    assert isinstance(done, Enlisted)
    assert (done.accepted, done.stopped_at) == (500, 502)
    assert len(waited) == 4


def test_a_segment_is_exported_whole_and_safe(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(
        identify("=HYPERLINK(1)", {"email": "a@shop.example"}, anonymousId="+1"),
        call("Order Completed", {"total": 12.5}, userId="=HYPERLINK(1)", anonymousId="+1"),
        *(call("Order Completed", {"total": 1}, anonymousId=f"b{each:04}") for each in range(1_203)),
    )
    buyers = make(shop, "buyers", {"performed": "Order Completed", "within": "30d"})
    shop.send(*(call("Order Completed", {"total": 1}, anonymousId=f"b{each:04}") for each in range(1_203)))
    shop.send(call("Order Completed", {"total": 1}, anonymousId="+1"))
    answer = ask(shop, "GET", f"/segments/{buyers}/export")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert "attachment" in answer.headers["Content-Disposition"]
    header, *found = csv.reader(io.StringIO(answer.data.decode(), newline=""))
    assert len({row[0] for row in found}) == len(found) == 1_204
    assert [row[0] for row in found] == sorted(row[0] for row in found)
    [own] = [dict(zip(header, row, strict=True)) for row in found if row[3]]
    assert (own["user_id"], own["anonymous_id"], own["email"]) == ("'=HYPERLINK(1)", "'+1", "a@shop.example")
    assert (own["orders"], own["revenue"], own["entered_at"], own["left_at"]) == (
        "2",
        "13.50",
        "2026-03-01T09:00:00Z",
        "",
    )
    lines = ask(shop, "GET", f"/segments/{buyers}/export?format=jsonl").data.splitlines()
    assert sorted(json.loads(line)["anonymous_id"] for line in lines)[0] == "+1"
    assert len(lines) == 1_204
    vip = make(shop, "vip")
    assert good(send(shop, vip, answer.data))["accepted"] == 1_204
    shop.wait(days=31)
    assert ask(shop, "GET", f"/segments/{buyers}/export").data.decode().splitlines() == [",".join(header)]
    shop.send(call("Order Completed", {"total": 1}, anonymousId="+1"))
    [member] = good(ask(shop, "GET", f"/segments/{buyers}/visitors"))["items"]
    assert (member["entered_at"], member["left_at"]) == ("2026-04-01T09:00:00Z", "2026-03-31T09:00:00Z")
    assert ask(shop, "GET", f"/segments/{buyers}/export?format=xml").status_code == 422
