"""Files of visitors: every row is read or answered for, and what is written runs in no spreadsheet."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import Malformed
from backend.schemas.member_file import FORMULA, Broken, Row, _bare, csv_text, read_csv, read_lines


def rows(text: str | bytes) -> list[Row | Broken]:
    return list(read_csv(text.encode() if isinstance(text, str) else text))


def test_columns_are_found_by_their_names_however_they_are_parted_and_written() -> None:
    for text in (
        "Email,Name,User ID\njo@x.example,Jo,7\n",
        "E-Mail;name;userId\r\njo@x.example;Jo;7\r\n",
        '\ufeffemail\tname\tuser_id\n"jo@x.example"\tJo\t7',
    ):
        assert rows(text) == [Row(2, {"email": "jo@x.example", "user_id": "7"})]


def test_a_row_that_cannot_be_read_costs_no_other() -> None:
    text = 'email,user_id\na@x.example,1,2\n,\n\nnobody,\nb@x.example,"two\nlines"\nc@x.example,3\n'
    found = rows(text)
    assert [(each.line, each.message) for each in found if isinstance(each, Broken)] == [
        (2, "It has 3 columns, the first line has 2."),
        (3, "It names nobody."),
        (5, '"nobody" is no e-mail address.'),
        (7, "user_id holds a character that cannot be seen."),
    ]
    assert found[-1] == Row(8, {"email": "c@x.example", "user_id": "3"})
    assert rows(b"email\n\xff@x.example\nok@x.example\n") == [
        Broken(2, "email is not written in UTF-8."),
        Row(3, {"email": "ok@x.example"}),
    ]
    long = rows("user_id\n" + "x" * 200_000 + "\ny\n")
    assert isinstance(long[0], Broken)
    assert long[-1] == Row(3, {"user_id": "y"})


@pytest.mark.parametrize("text", ["", "name,age\nJo,7\n", "email,Email\na,b\n"])
def test_a_file_whose_first_line_names_no_visitor_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        rows(text)
    with pytest.raises(Malformed, match='Did you mean "email"'):
        rows("emial\n")


def test_lines_of_json_are_read_one_by_one() -> None:
    told = ['{"email": "a@x.example"}', "", "nonsense", "[1]", '{"user_id": 7}', '{"usr_id": "7"}']
    body = "\n".join([*told, '{"anonymousId": "q", "email": null}']).encode()
    assert list(read_lines(body)) == [
        Row(1, {"email": "a@x.example"}),
        Broken(3, "This is no JSON in UTF-8."),
        Broken(4, 'Expected an object with one of visitor_id, user_id, anonymous_id, email, such as {"email": "…"}.'),
        Broken(5, "user_id must be text, in quotes."),
        Broken(6, 'It has none of visitor_id, user_id, anonymous_id, email. Did you mean "user_id"?'),
        Row(7, {"anonymous_id": "q"}),
    ]
    assert isinstance(next(iter(read_lines(b"[" * 100_000))), Broken)


TRICKY = st.text(alphabet=st.sampled_from("=+-@＝;|\t\r\n'\" a,")) | st.text()


@given(st.lists(st.lists(TRICKY, min_size=2, max_size=2), max_size=5))
def test_no_cell_that_is_written_begins_as_a_formula_does_and_each_comes_back(cells: list[list[str]]) -> None:
    text = csv_text(cells)
    found = list(csv.reader(io.StringIO(text, newline="")))
    assert len(found) == len(cells)
    for written, meant in zip(found, cells, strict=True):
        for delimiter in ";|\t\r\n":
            assert not any(part.startswith(FORMULA) for each in written for part in each.split(delimiter))
        assert [_bare(each) for each in written] == meant


def test_a_file_that_was_exported_can_be_imported() -> None:
    text = csv_text([("user_id", "email"), ("=1+1", None), ("-5", None), ("'quoted", None), ("x;=1", None)])
    assert "'=1+1" in text
    assert "x;'=1" in text, "where semicolons part the columns, a cell begins there"
    assert [each.ids["user_id"] for each in rows(text) if isinstance(each, Row)] == ["=1+1", "-5", "'quoted", "x;=1"]
