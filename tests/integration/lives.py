"""Lives in a shop where everything is at work: rules, segments, stages of its own, interests; with marks to look for.

Each call carries a mark of its own, and each person has an address, a number and a name of their own: so a test can
say of each text that is found anywhere who told it.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy
from hypothesis import strategies as st

from backend.domain import fold
from backend.domain.identity import anonymous_visitor, known_visitor
from backend.domain.site import Policy
from backend.pipeline.regroup import SETTLE
from backend.pipeline.sweep import Sweeper
from backend.storage.sites import update_site
from backend.storage.tables import metadata
from tests.core_fixtures import Shop, popup_rule
from tests.integration.test_segments import ask, good, make

DEVICES = ("phone", "laptop", "kiosk")
USERS = ("ua", "ub", "uc")
KINDS = ("traits", "alias", "reset", "poison", "context", "say", "say")
BOOM = "Boom"
"""The event that nothing can digest."""

STAGES = ["new", {"name": "looking", "enter": {"performed": "Product Viewed"}}, "cart", "customer"]
TEXT = {"title": "For {{ name | default: 'you' }}", "body": "{{ note | default: '-' }}", "subject": "s"}
SAYING = {"channels": ["popup"], "variants": [{"name": "A", "content": TEXT}]}
MAILING = {"channels": ["email"], "variants": [{"name": "A", "content": TEXT}]}


def furnish(shop: Shop) -> str:
    """Lets everything be at work in this shop; returns the id of a list that is kept by hand."""
    shop.site = replace(shop.site, policy=Policy(phone_region="AT", unverified_email=True))
    with shop.rt.db.begin() as connection:
        update_site(connection, shop.rt.sites.vault, shop.site)
    shop.rt.sites.forget()
    good(ask(shop, "PATCH", "", {"stages": STAGES}))
    shop.site = shop.site_now()
    make(shop, "Buyers", {"performed": "Order Completed", "within": "30d"})
    make(shop, "Paying", {"field": "profile.traits.plan", "op": "eq", "value": "paid"})
    listed = make(shop, "By hand")
    shop.rule(popup_rule("Product Added", message=SAYING, reentry={"policy": "every"}))
    shop.rule(popup_rule("Identify", message=MAILING, delay="10m"))
    shop.rule(popup_rule(None, trigger={"product": "price_dropped"}, message=SAYING))
    told = {"who": "{{ event.properties.query }}"}
    steps = [
        {"webhook": {"url": "https://hooks.shop.example/{{ name | default: 'x' }}"}},
        {"emit": {"event": "Search Noted", "properties": told}},
        {"set_trait": {"searched": "{{ event.properties.query }}"}},
    ]
    document = popup_rule("Products Searched", steps=steps, reentry={"policy": "every"})
    del document["message"]
    shop.rule(document)
    sweeper = Sweeper(shop.rt)
    for _ in range(4):
        shop.wait(seconds=SETTLE.total_seconds() + 1)
        sweeper.run()
    return listed


def digest_nothing(*_: Any) -> None:
    raise ArithmeticError("this event cannot be folded")


def poison(monkeypatch: Any) -> None:
    """Lets folding fail at `BOOM`."""
    monkeypatch.setattr(fold, "SPECIAL", {**fold.SPECIAL, BOOM: digest_nothing})


@dataclass
class World:
    """What was sent so far in one life, with the prefix of all its names."""

    shop: Shop
    prefix: str
    sent: list[dict[str, Any]] = field(default_factory=list)

    def made(self, number: int, drawn: dict[str, Any]) -> dict[str, Any]:
        """The call that was drawn, under this life's names and with its mark."""
        device, user, kind = self.prefix + drawn["device"], self.prefix + drawn["user"], drawn["kind"]
        mark = f"{self.prefix}m{number}q"
        mail = f"{user}@mark.example"
        digits = f"{int(self.prefix[2:]):04d}{USERS.index(drawn['user'])}"
        phone = drawn["spelling"] + digits
        moment = self.shop.clock() - timedelta(minutes=5 if drawn["late"] else 0)
        known: dict[str, Any] = {"userId": user, "anonymousId": device}
        told: dict[str, Any] = {
            "page": {"type": "track", "event": "Page Viewed", "anonymousId": device, "properties": {"note": mark}},
            "search": {
                "type": "track",
                "event": "Products Searched",
                "anonymousId": device,
                "properties": {"query": mark},
            },
            "form": {
                "type": "track",
                "event": "Form Field Filled",
                "anonymousId": device,
                "properties": {"field": "tel" if drawn["flag"] else "email", "value": phone if drawn["flag"] else mail},
            },
            "say": {
                "type": "track",
                "event": "Live Chat Message Sent",
                **(known if drawn["flag"] else {"anonymousId": device}),
                "properties": {"message_body": mark},
            },
            "view": {"type": "track", "event": "Product Viewed", **known, "properties": drawn["product"]},
            "cart": {"type": "track", "event": "Product Added", "anonymousId": device, "properties": drawn["product"]},
            "order": {
                "type": "track",
                "event": "Order Completed",
                "userId": user,
                "properties": {"order_id": mark, "total": 3, "products": [drawn["product"]]},
            },
            "identify": {
                "type": "identify",
                **known,
                "traits": {"email": mail.upper() if drawn["flag"] else mail, "name": f"Name {mark}", "plan": "paid"},
            },
            "traits": {
                "type": "identify",
                "userId": user,
                "traits": {"$set": {"phone": phone, "note": mark}, "$append": {"tags": mark}, "$add": {"points": 2}},
            },
            "alias": {"type": "alias", "userId": user, "previousId": self.prefix + drawn["other"]},
            # What the page does when somebody else signs in: a new anonymous id, and the sign-in under it.
            "reset": {"type": "identify", "userId": user, "anonymousId": f"{device}r{number}"},
            "poison": {"type": "track", "event": BOOM, "anonymousId": device, "properties": {"note": mark}},
            "context": {
                "type": "track",
                "event": "Page Viewed",
                "anonymousId": device,
                "properties": {},
                "context": {"traits": {"phone": phone, "note": mark}},
            },
        }[kind]
        call = {"messageId": f"{self.prefix}id{number}", "timestamp": moment.isoformat(), **told}
        self.sent.append(call)
        return call

    def ids(self, message_ids: Collection[str] | None = None) -> set[str]:
        """The visitors whom the calls so far, or these of them, name."""
        site = self.shop.site.id
        sent = [each for each in self.sent if message_ids is None or each["messageId"] in message_ids]
        found = {known_visitor(site, each["userId"]) for each in sent if "userId" in each}
        for name in ("anonymousId", "previousId"):
            found |= {anonymous_visitor(site, each[name]) for each in sent if name in each}
        return found


@st.composite
def drawn_call(draw: st.DrawFn) -> dict[str, Any]:
    """A call that is yet to be made."""
    kinds = [*("page", "search", "form", "view", "cart", "order", "identify", "identify"), *KINDS]
    return {
        "kind": draw(st.sampled_from(kinds)),
        "device": draw(st.sampled_from(DEVICES)),
        "user": draw(st.sampled_from(USERS)),
        "other": draw(st.sampled_from([*DEVICES, *USERS])),
        "late": draw(st.sampled_from([False, False, False, True])),
        "flag": draw(st.booleans()),
        "spelling": draw(st.sampled_from(["+43 660 12 ", "0660/12", "0043 (0)660 12"])),
        "product": {"product_id": draw(st.sampled_from(["kettle", "mug"])), "price": 5, "quantity": 1},
    }


def rows_of(shop: Shop) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row of the database, with its table."""
    with shop.rt.db.read() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(sqlalchemy.select(table)):
                yield table.name, dict(row._mapping)


def redis_text(shop: Shop) -> str:
    """Everything that Redis holds but for the log, whose entries wait for their turn to be trimmed."""
    client, found = shop.rt.redis, list[str]()
    for key in client.scan_iter():
        kind = client.type(key)
        if kind == b"stream":
            continue
        read = {b"string": client.get, b"hash": client.hgetall, b"set": client.smembers}.get(kind)
        found.append(repr(client.lrange(key, 0, -1) if kind == b"list" else read(key) if read else client.dump(key)))
    return "\n".join(found)


def stored_of(shop: Shop, prefix: str) -> dict[str, tuple[str, str]]:
    """The visitor and the body of each stored event of a life, by message id."""
    query = "SELECT visitor_id, message_id, body FROM events"
    with shop.rt.db.read() as connection:
        rows = connection.execute(sqlalchemy.text(query)).all()
    return {row.message_id: (row.visitor_id, row.body) for row in rows if prefix in row.body}


def files_of(shop: Shop) -> Iterator[tuple[str, bytes]]:
    """The files of an SQLite database, as they lie on the disk."""
    if shop.rt.db.dialect == "sqlite":
        path = Path(str(shop.rt.db.engine.url.database))
        for each in path.parent.glob(path.name + "*"):
            yield each.name, each.read_bytes()
