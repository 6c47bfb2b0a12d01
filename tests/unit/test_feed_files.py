"""Files of products: CSV, JSON, JSON lines and Google's XML, with whatever people put into them."""

import contextlib
import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.schemas.feed import FORMATS, FeedError, Format, Row, format_of, read_rows

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)

RSS = """<?xml version="1.0"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel>
<title>The shop</title><link>https://shop.example</link>
<item>
  <g:id>k-17</g:id><title>Plain title</title><g:title><![CDATA[Copper & kettle]]></g:title>
  <link>https://shop.example/k-17</link><g:image_link>https://shop.example/k.jpg</g:image_link>
  <g:price>134.00 EUR</g:price><g:sale_price>99.50 EUR</g:sale_price>
  <g:availability>in_stock</g:availability><g:brand>Hearth</g:brand>
  <g:product_type>Kitchen &gt; Kettles</g:product_type><g:color>copper</g:color>
  <g:shipping><g:price>4.90 EUR</g:price></g:shipping><description>Long</description>
</item>
<item><g:id>t-1</g:id><g:price>free</g:price></item>
</channel></rss>"""

ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">
<entry><g:id>a</g:id><title>Tea</title><link href="https://shop.example/tea"/><g:price>5 USD</g:price>
<g:sale_price>4 USD</g:sale_price>
<g:sale_price_effective_date>2025-01-01T00:00+0100/2025-02-01T00:00+0100</g:sale_price_effective_date></entry></feed>"""

BOMB = """<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><rss><channel><item><title>&c;</title></item></channel></rss>"""

OUTSIDE = (
    """<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><rss><channel><item><id>&f;</id></item></channel></rss>"""
)


def rows(text: str | bytes, kind: Format) -> list[Row]:
    return list(read_rows(io.BytesIO(text.encode() if isinstance(text, str) else text), kind, NOW))


def test_googles_feed_is_read_item_by_item_and_its_own_names_go_first() -> None:
    first, second = rows(RSS, "xml")
    assert (first.line, first.product_id, first.mistakes) == (4, "k-17", ())
    assert first.facts == {
        "name": "Copper & kettle",
        "url": "https://shop.example/k-17",
        "image_url": "https://shop.example/k.jpg",
        "price": Decimal("99.50"),
        "list_price": Decimal("134.00"),
        "currency": "EUR",
        "available": True,
        "brand": "Hearth",
        "category": "Kitchen > Kettles",
        "attributes": {"color": "copper"},
    }
    assert (second.line, second.mistakes[0][0]) == (12, "price")


def test_an_atom_feed_is_read_and_a_sale_that_is_over_is_none() -> None:
    [row] = rows(ATOM, "xml")
    assert row.facts == {"name": "Tea", "url": "https://shop.example/tea", "price": Decimal(5), "currency": "USD"}


@pytest.mark.parametrize("text", [BOMB, OUTSIDE, BOMB.replace("rss>", "feed>")])
def test_a_document_type_is_refused_before_anything_of_it_is_read(text: str) -> None:
    with pytest.raises(FeedError, match="neither is read"):
        rows(text, "xml")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not well-formed"),
        ("<rss><channel><item><id>1</id>", "not well-formed XML"),
        ("<rss></rss>", "holds no product"),
        ("<html><body>Not found</body></html>", "holds no product"),
        ("<a>" * 50, "nests too deep"),
        ('<?xml version="1.0" encoding="klingon"?><rss/>', "not"),
    ],
)
def test_what_is_no_feed_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(FeedError, match=sentence):
        rows(text, "xml")


def test_a_tag_without_end_does_not_fill_the_memory() -> None:
    with pytest.raises(FeedError, match=r"A tag of the XML is longer"):
        rows(b'<rss><item a="' + b"x" * 5_000_000, "xml")


def test_what_was_read_before_a_mistake_counts() -> None:
    reading = read_rows(io.BytesIO(RSS.replace("</channel>", "</oops>").encode()), "xml", NOW)
    assert [next(reading).product_id, next(reading).product_id] == ["k-17", "t-1"]
    with pytest.raises(FeedError, match="not well-formed"):
        next(reading)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_is_read_by_the_names_of_its_columns(delimiter: str) -> None:
    names = ["\ufeffid", "title", "g:price", "quantity", "attributes.Size", "colour"]
    lines = [names, ["k", "Kettle", "5 EUR", "3", "L", "red"]]
    [row] = rows("\r\n".join(delimiter.join(line) for line in lines), "csv")
    assert row.mistakes == ()
    assert row.facts == {
        "name": "Kettle",
        "price": Decimal(5),
        "currency": "EUR",
        "stock": 3,
        "attributes": {"Size": "L"},
    }


def test_a_bad_line_of_a_table_costs_itself_alone() -> None:
    text = 'id,price,stock\nk,5,1\n"quoted,\nid",6,\nbad,abc,-1\n,5,1\ntoo,1,2,3\n\n"x\nlast,7,2\n'
    found = rows(text, "csv")
    assert [(row.line, row.product_id, [name for name, _ in row.mistakes]) for row in found[:5]] == [
        (2, "k", []),
        (3, None, ["id"]),
        (5, "bad", ["price", "stock"]),
        (6, None, ["id"]),
        (7, None, [""]),
    ]


def test_an_empty_cell_says_nothing() -> None:
    [row] = rows("id,price,stock,name\nk,,0, \n", "csv")
    assert row.facts == {"stock": 0}


@pytest.mark.parametrize("text", ["", "name,price\nx,5\n", "id,title,name\n1,2,3\n", "\x00\x01\x02"])
def test_a_table_without_ids_or_with_two_columns_of_one_meaning_is_refused(text: str) -> None:
    with pytest.raises(FeedError):
        rows(text, "csv")


def test_a_table_without_ids_is_told_the_names_that_columns_have() -> None:
    with pytest.raises(FeedError, match=r"no column id; known are id, name, price, .*currency, stock"):
        rows("ident,price\nx,5\n", "csv")


def test_a_table_in_another_encoding_names_the_cells_that_cannot_be_read() -> None:
    [row] = rows("id,name\nk,Käse\n".encode("latin-1"), "csv")
    assert row.mistakes == (("name", "Expected one line without control characters."),)


def test_a_field_that_is_too_long_costs_itself_alone() -> None:
    for long in ("x" * 200_000, '"' + "x,y" * 100_000 + '"', "x," * 500_000):
        found = rows(f"id,name\nlong,{long}\nk,Kettle\n", "csv")
        assert found[-1].facts == {"name": "Kettle"}
        assert [bool(row.mistakes) for row in found] == [True, False]


def test_json_lines_are_read_one_by_one() -> None:
    text = '{"id": 1, "stock": 3}\n\nnonsense\n{"product_id": "b", "price": null}\n[1]\n{"id": "c", "price": NaN}\n'
    found = rows(text + '{"id": "' + "x" * 200_000 + '"}\n{"id": "last"}', "jsonl")
    assert [(row.line, row.product_id, bool(row.mistakes)) for row in found] == [
        (1, "1", False),
        (3, None, True),
        (4, "b", False),
        (5, None, True),
        (6, None, True),
        (7, None, True),
        (8, "last", False),
    ]
    assert found[2].facts == {"price": None}


def test_json_is_a_list_of_products() -> None:
    assert [row.product_id for row in rows('[{"id": "a"}, {"id": "b"}]', "json")] == ["a", "b"]
    assert [row.product_id for row in rows('{"products": [{"id": "a"}]}', "json")] == ["a"]
    for text in ('{"id": "a"}', "5", "[", "[" * 100_000, b"\xff".decode("latin-1")):
        with pytest.raises(FeedError):
            rows(text, "json")
    with pytest.raises(FeedError, match="jsonl"):
        rows("[" + " " * 9_000_000, "json")


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"\xef\xbb\xbf <rss", "xml"), (b" [", "json"), (b'{"id"', "jsonl"), (b"id,name", "csv"), (b"", "csv")],
)
def test_how_a_file_is_written_is_told_by_its_beginning(head: bytes, kind: str) -> None:
    assert format_of(head) == kind


@settings(max_examples=200)
@given(
    st.sampled_from(FORMATS),
    st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")),
)
def test_any_bytes_are_rows_or_a_sentence(kind: Format, data: bytes) -> None:
    for head in (b"", b"id,price\n", b"<rss><item>", b'[{"id": 1}, '):
        with contextlib.suppress(FeedError):
            for row in read_rows(io.BytesIO(head + data), kind, NOW):
                assert row.product_id is not None or row.mistakes
