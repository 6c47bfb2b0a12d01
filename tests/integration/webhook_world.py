"""A shop whose journey calls a webhook, and shorthands for sending what it promised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.channels.base import Circuit
from backend.channels.outbound import Allowed, Outbound
from backend.domain.webhook import Webhook
from backend.pipeline.call_out import deliver_webhook
from backend.storage import webhooks
from backend.storage.webhooks import Ref
from tests.core_fixtures import Shop, call

TRAITS = {"email": "ann@shop.example", "plan": "gold"}


def journey(url: str, *more: Mapping[str, Any], **webhook: Any) -> dict[str, Any]:
    """A rule that calls this address for each order, and then does `more`."""
    return {
        "name": "Tell the warehouse",
        "trigger": {"event": "Order Completed"},
        "reentry": {"policy": "every"},
        "steps": [{"webhook": {"url": url, **webhook}}, *more],
    }


@dataclass
class Hooks:
    """The shop's webhooks."""

    shop: Shop
    out: Outbound
    circuit: Circuit

    @classmethod
    def of(cls, shop: Shop, **limits: Any) -> "Hooks":
        limits = {"total_seconds": 2, **limits}
        return cls(shop, Outbound(allowed=Allowed.of("127.0.0.1"), **limits), Circuit())

    def order(self, who: str = "ann", **properties: Any) -> Ref:
        """Somebody orders; the webhook that was promised for it."""
        before = {each.id for each in self.all()}
        self.shop.send(call("Order Completed", {"order_id": "o-1", **properties}, anonymousId=who))
        [made] = [each for each in self.all() if each.id not in before]
        return made.visitor_id, made.id

    def all(self) -> list[Webhook]:
        """Every webhook of the site, oldest first."""
        with self.shop.rt.db.read() as connection:
            return webhooks.list_webhooks(connection, self.shop.site.id, limit=100_000)[::-1]

    def get(self, ref: Ref) -> Webhook:
        with self.shop.rt.db.read() as connection:
            found = webhooks.get(connection, ref)
        assert found is not None
        return found

    def deliver(self, *refs: Ref) -> None:
        """One try at each of these, as far as it is due; the circuit is not asked."""
        for ref in refs:
            deliver_webhook(self.shop.rt, self.out, ref, self.circuit)

    def states(self, refs: Sequence[Ref]) -> list[tuple[str, int]]:
        """(status, attempts) of each."""
        return [(self.get(ref).status, self.get(ref).attempts) for ref in refs]
