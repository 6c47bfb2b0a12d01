"""The step `forget elsewhere`: what others keep of somebody erased with whom they were one person for a while."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from backend.domain.profile import Profile
from backend.storage import merges, messages, visitors, webhooks
from backend.storage.database import Connection
from backend.storage.visitors import Stored

SHORTEST = 3
"""Texts that are shorter tell nothing of anybody, and stand in every other message."""


def forget_elsewhere(connection: Connection, person: Mapping[str, Stored]) -> None:
    """Takes the ids of these visitors out of the profiles of those whom they were parted from.

    While they were one, messages and webhooks to that one were made out of both: those in which a text of these stands
    go as well.
    """
    parted = {id_ for each in merges.parted(connection, person) for id_ in (each.visitor_id, each.member_id)}
    others = _persons(connection, parted - person.keys())
    if not others:
        return
    changed = [
        replace(each, profile=replace(each.profile, refused=left))
        for each in others.values()
        if len(left := {key: at for key, at in each.profile.refused.items() if key not in person})
        < len(each.profile.refused)
    ]
    visitors.save(connection, [], changed)
    told = {text for each in person.values() for text in _texts(each.profile)}
    told -= {text for each in others.values() for text in _texts(each.profile)}
    if told:
        written = {form for text in told for form in _written(text)}
        messages.remove_telling(connection, others, written)
        webhooks.remove_telling(connection, others, written)


def _persons(connection: Connection, ids: Collection[str]) -> dict[str, Stored]:
    """The rows of these visitors and of everybody who is one person with them, locked."""
    found: dict[str, Stored] = {}
    wanted = set(ids)
    while wanted:
        fresh = visitors.load(connection, wanted, lock=True)
        found |= fresh
        linked = {each.merged_into for each in fresh.values() if each.merged_into is not None}
        wanted = linked.union(*(each.profile.members for each in fresh.values())) - found.keys()
    return found


def _texts(profile: Profile) -> Iterator[str]:
    """What a profile tells of a person that a text may have taken over."""
    told: list[Any] = [
        dict(profile.traits),
        *(each.value for each in profile.identifiers),
        *(each.value for each in profile.forms),
        *(each.query for each in profile.searches),
    ]
    while told:
        each = told.pop()
        if isinstance(each, Mapping):
            told.extend(each.values())
        elif isinstance(each, list | tuple):
            told.extend(each)
        elif isinstance(each, str) and len(each.strip()) >= SHORTEST:
            yield each.strip()


def _written(text: str) -> set[str]:
    """The text as it may stand within JSON."""
    return {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
