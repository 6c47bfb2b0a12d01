"""The catalogue's API: products one by one and by the file, feeds, and what is no product."""

import gzip
import json
from typing import Any

import pytest

from tests.contract.conftest import Api

KETTLE = {"name": "Copper kettle", "price": "134.00", "currency": "EUR", "stock": 12, "brand": "Hearth"}


@pytest.fixture
def products(site: str) -> str:
    return f"/sites/{site}/products"


@pytest.fixture
def feeds(site: str) -> str:
    return f"/sites/{site}/feeds"


def send(api: Api, path: str, data: str | bytes, kind: str, query: str = "") -> Any:
    return api("POST", path + query, data=data, headers={"Content-Type": kind})


def test_a_product_is_told_shown_found_and_deleted(api: Api, products: str) -> None:
    put = api("PUT", f"{products}/k/17", KETTLE)
    assert put.status_code == 200
    told = put.json
    assert told["id"] == "k/17"
    assert told["price"] == "134.00"
    assert told["available"] is True
    assert told["sources"] == dict.fromkeys(KETTLE, "api")
    shown = api.get(f"{products}/k/17").json
    assert shown == told | {"similar": [], "bought_together": []}
    assert api("PUT", f"{products}/k/17", {"stock": 0}).json.keys() == {
        *("id", "stock", "available", "sources", "created_at", "updated_at")
    }
    assert api("DELETE", f"{products}/k/17").status_code == 204
    assert api.get(f"{products}/k/17").status_code == 404
    assert api("DELETE", f"{products}/k/17").status_code == 404


def test_products_are_listed_by_words_category_and_availability_page_by_page(api: Api, products: str) -> None:
    listed = [
        {"id": f"p{n:02}", "name": f"Tea {n}", "category": "Tea" if n % 2 else "Pots", "stock": n % 3}
        for n in range(25)
    ]
    assert api.post(products, listed).json["created"] == 25
    assert [each["id"] for each in api.all_items(products, 7)] == [each["id"] for each in listed]
    assert len(api.all_items(f"{products}?category=Pots", 7)) == 13
    assert len(api.all_items(f"{products}?available=false", 7)) == 9
    assert [each["id"] for each in api.get(f"{products}?q=TEA+17").json["items"]] == ["p17"]
    assert api.get(f"{products}?q=100%25").json["items"] == []
    for query in ("q=", "available=maybe", "limit=0", "limit=201", "cursor=x", "colour=red", "q=" + "x" * 201):
        assert api.get(f"{products}?{query}").status_code == 422, query


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"price": "cheap"}, {"price": "Expected an amount"}),
        ({"price": -1, "stock": -1}, {"price": "not less than 0", "stock": "whole number"}),
        ({"prise": 1}, {"prise": 'Did you mean "price"?'}),
        ({"url": "javascript:alert(1)"}, {"url": "Expected an address"}),
        ({"id": "another"}, {"id": "The id stands in the address"}),
        ({"attributes": {"a": [1]}}, {"attributes": "is a text"}),
    ],
)
def test_what_is_no_product_is_refused_with_its_fields(
    api: Api, products: str, body: dict[str, Any], errors: dict[str, str]
) -> None:
    answer = api("PUT", f"{products}/k-17", body)
    assert answer.status_code == 422
    assert answer.json["errors"].keys() == errors.keys()
    for name, sentence in errors.items():
        assert sentence in answer.json["errors"][name][0]
    assert api.get(f"{products}/k-17").status_code == 404


@pytest.mark.parametrize("body", ["[]", '"text"', "{", '{"a": 1, "a": 2}', '{"name": "\\u0000"}'])
def test_a_body_that_is_no_object_is_refused(api: Api, products: str, body: str) -> None:
    answer = api("PUT", f"{products}/k-17", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


def test_an_id_that_cannot_be_kept_is_refused(api: Api, products: str) -> None:
    assert api("PUT", f"{products}/{'x' * 256}", KETTLE).status_code == 422
    assert api("PUT", f"{products}/a%00b", KETTLE).status_code == 400


def test_a_file_is_taken_over_but_for_its_bad_rows_each_of_which_is_named(api: Api, products: str) -> None:
    api("PUT", f"{products}/k", KETTLE)
    text = "id,price,stock,availability\nk,120 EUR,,\nbad,abc,-1,perhaps\n,1,1,\nnew,5,3,in_stock\n"
    report = send(api, products, text, "text/csv").json
    assert {name: report[name] for name in ("rows", "created", "changed", "unchanged", "rejected", "failed")} == {
        "rows": 4,
        "created": 1,
        "changed": 1,
        "unchanged": 0,
        "rejected": 2,
        "failed": None,
    }
    assert [(each["line"], each["id"], each["field"]) for each in report["errors"]] == [
        (3, "bad", "price"),
        (3, "bad", "stock"),
        (3, "bad", "available"),
        (4, None, "id"),
    ]
    kept = api.get(f"{products}/k").json
    assert (kept["price"], kept["stock"], kept["name"]) == ("120.00", 12, "Copper kettle")
    assert kept["sources"]["price"] == "feed"
    assert kept["sources"]["name"] == "api"


def test_the_report_of_a_file_is_bounded(api: Api, products: str) -> None:
    report = send(api, products, "id,price\n" + "x,y\n" * 5_000, "text/csv").json
    assert report["rejected"] == 5_000
    assert len(report["errors"]) == 100


@pytest.mark.parametrize(
    ("data", "kind", "created"),
    [
        (json.dumps([{"id": "a"}, {"id": "b", "price": 1}]), "application/json", 2),
        (json.dumps({"products": [{"id": "a"}]}), "application/json", 1),
        ('{"id": "a"}\n{"id": 5}\n', "application/x-ndjson", 2),
        ("id;price\na;1\n", "text/csv", 1),
        ("<rss><channel><item><id>a</id><price>1 EUR</price></item></channel></rss>", "application/xml", 1),
        (gzip.compress(b"id,price\na,1\n", mtime=0), "application/gzip", 1),
        (gzip.compress(b"<rss><item><id>a</id></item></rss>", mtime=0), "application/octet-stream", 1),
    ],
)
def test_every_way_of_writing_is_read(api: Api, products: str, data: str | bytes, kind: str, created: int) -> None:
    answer = send(api, products, data, kind)
    assert answer.status_code == 200, answer.text
    assert (answer.json["created"], answer.json["rejected"], answer.json["failed"]) == (created, 0, None)


@pytest.mark.parametrize(
    ("data", "kind", "sentence"),
    [
        ("{", "application/json", "It is not JSON"),
        ("[" * 100_000, "application/json", "JSON"),
        ("name\nx\n", "text/csv", "no column id"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "application/xml", "neither is read"),
        ("<a/>", "application/xml", "holds no product"),
        (gzip.compress(b"id,price\na,1\n", mtime=0)[:-6], "application/gzip", "cut short"),
        (b"\x1f\x8bnonsense", "application/gzip", "cut short"),
        ("", "text/csv", "no column id"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    api: Api, products: str, data: str | bytes, kind: str, sentence: str
) -> None:
    answer = send(api, products, data, kind)
    assert answer.status_code == 200, answer.text
    assert sentence in answer.json["failed"]


def test_a_file_of_which_nobody_says_how_it_is_written_is_refused(api: Api, products: str) -> None:
    assert send(api, products, "id\na\n", "text/plain").status_code == 400
    assert send(api, products, "id\na\n", "text/plain", "?format=csv").json["created"] == 1
    assert send(api, products, "id\na\n", "text/csv", "?format=yaml").status_code == 422
    assert send(api, products, "id\na\n", "text/csv", "?complete=1").status_code == 422


def test_what_a_complete_file_no_longer_holds_is_sold_out(api: Api, products: str) -> None:
    api("PUT", f"{products}/mine", KETTLE)
    send(api, products, "id,stock\na,1\nb,2\n", "text/csv")
    report = send(api, products, "id,stock\na,1\n", "text/csv", "?complete=true").json
    assert report["ended"] == 1
    assert api.get(f"{products}/b").json["available"] is False
    assert api.get(f"{products}/mine").json["available"] is True
    doubtful = send(api, products, "id,stock\n,1\nb,1\n", "text/csv", "?complete=true").json
    assert doubtful["ended"] == 0
    assert "Nothing was taken to be sold out" in doubtful["note"]
    assert api.get(f"{products}/a").json["available"] is True


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": "ftp://shop.example/f"}, "url"),
        ({"url": "http://shop.example/f"}, "url"),
        ({"url": "https://127.0.0.1/f"}, "url"),
        ({"url": "https://localhost/f"}, "url"),
        ({"url": "https://[::1]/f"}, "url"),
        ({"url": "https://169.254.169.254/latest/meta-data"}, "url"),
        ({"url": "https://u:p@shop.example/f"}, "url"),
        ({"url": "https://shop.example/f", "every": "1m"}, "every"),
        ({"url": "https://shop.example/f", "every": "99d"}, "every"),
        ({"url": "https://shop.example/f", "format": "yaml"}, "format"),
        ({"url": "https://shop.example/f", "complete": 1}, "complete"),
        ({"url": "https://shop.example/f", "secret": 1}, "secret"),
    ],
)
def test_a_feed_that_may_not_be_fetched_is_refused(api: Api, feeds: str, body: dict[str, Any], field: str) -> None:
    answer = api.post(feeds, body)
    assert answer.status_code == 422
    assert list(answer.json["errors"]) == [field]


def test_a_feed_is_added_asked_for_and_deleted(api: Api, feeds: str) -> None:
    made = api.post(feeds, {"url": "https://shop.example/feed.xml", "every": "6h"}).json
    assert (made["every"], made["format"], made["complete"], made["report"]) == ("6h", "auto", False, None)
    assert api.get(feeds).json["items"] == [made]
    assert api.post(f"{feeds}/{made['id']}/fetch").status_code == 202
    assert api("DELETE", f"{feeds}/{made['id']}").status_code == 204
    assert api.get(f"{feeds}/{made['id']}").status_code == 404
    assert api.post(f"{feeds}/{made['id']}/fetch").status_code == 404


def test_a_site_has_few_feeds(api: Api, feeds: str) -> None:
    for number in range(20):
        assert api.post(feeds, {"url": f"https://shop.example/{number}"}).status_code == 201
    assert api.post(feeds, {"url": "https://shop.example/more"}).status_code == 409


@pytest.mark.parametrize(
    ("trigger", "path"),
    [
        ({"product": "price_droped"}, "product"),
        ({"product": "price_dropped", "percent": 0}, "percent"),
        ({"product": "price_dropped", "percent": 101}, "percent"),
        ({"product": "back_in_stock", "percent": 5}, "percent"),
        ({"product": "low_stock"}, "most"),
        ({"product": "back_in_stock", "most": 5}, "most"),
        ({"product": "low_stock", "most": 0}, "most"),
        ({"product": "back_in_stock", "interest": []}, "interest"),
        ({"product": "back_in_stock", "interest": "bought"}, "interest"),
        ({"product": "back_in_stock", "interest": [{}]}, "interest"),
        ({"product": "back_in_stock", "within": "181d"}, "within"),
        ({"product": "back_in_stock", "rate": 0}, "rate"),
        ({"product": "back_in_stock", "learned": "yes"}, "learned"),
        ({"product": "back_in_stock", "where": {}}, "where"),
    ],
)
def test_a_trigger_by_a_product_that_cannot_work_is_refused_at_its_place(
    api: Api, site: str, trigger: dict[str, Any], path: str
) -> None:
    message = {"channels": ["popup"], "variants": [{"name": "A", "content": {"title": "T", "body": "B"}}]}
    answer = api.post(f"/sites/{site}/rules", {"name": "r", "trigger": trigger, "message": message})
    assert answer.status_code == 422, answer.text
    assert list(answer.json["errors"]["trigger"]) == [path]
