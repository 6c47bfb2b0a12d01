"""The step `send on`: what a transaction promised is rung for: streams, workers, consoles."""

import structlog

from backend.channels.onsite import notes
from backend.domain.message import ON_SITE
from backend.pipeline.apply import Effects
from backend.pipeline.faults import point
from backend.pipeline.route import route_heard
from backend.pipeline.tell import tell_again, tell_heard
from backend.runtime import Runtime
from backend.storage.queue import WEBHOOKS

log = structlog.get_logger(__name__)


def send_on(rt: Runtime, effects: Effects) -> None:
    """Rings the bells. The promise is in SQL already: what goes wrong here is made good by `upkeep`."""
    tell_heard(rt, effects.heard)
    route_heard(rt, effects.heard)
    promised = [(each.visitor_id, each.id) for each in effects.webhooks]
    promised += [ref for each in effects.heard for ref in each.promised]
    if not effects.messages and not promised:
        return
    refs = [(each.visitor_id, each.id) for each in effects.messages if each.channel not in ON_SITE]
    try:
        rt.live.publish(notes(effects.messages))
        if refs:
            rt.queue.enqueue(refs)
        if promised:
            rt.queue.enqueue(promised, WEBHOOKS)
    except Exception as error:
        log.warning("bell_failed", reason=str(error)[:200])
    point("after_bell")


def make_good(rt: Runtime) -> None:
    """Tells streams and consoles what a processor that died may have left untold; what fails, they find themselves."""
    try:
        tell_again(rt)
    except Exception as error:
        log.warning("bell_failed", reason=str(error)[:200])
