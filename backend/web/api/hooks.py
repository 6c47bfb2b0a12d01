"""`/api/v1/sites/{site}/hooks`: which addresses are told of conversations."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from backend.channels.outbound import Allowed, refusal
from backend.domain.hook import MOST_HOOKS, Hook
from backend.domain.site import Site
from backend.domain.web_address import WebAddress, parse_web_address
from backend.errors import Conflict, Invalid, NotFound
from backend.schemas.hook import HookIn, HookOut, HookPatch, HooksOut
from backend.storage import hooks, webhooks
from backend.web.api.blueprint import Blueprint
from backend.web.context import runtime

blueprint = Blueprint("conversation_hooks", __name__, "Addresses that are told of conversations.")


@blueprint.route("/sites/<site>/hooks", methods=["GET"])
@blueprint.allow("rules")
@blueprint.response(200, HooksOut)
def list_hooks(*, site: Site) -> dict[str, Any]:
    """List hooks

    Oldest first. Their addresses may be secrets, as those of Slack are.
    """
    with runtime().db.read() as conn:
        return {"items": hooks.of_site(conn, site.id), "next_cursor": None}


@blueprint.route("/sites/<site>/hooks", methods=["POST"])
@blueprint.allow("rules")
@blueprint.arguments(HookIn, example={"url": "https://shop.example/hooks/chimein", "events": ["conversation.waiting"]})
@blueprint.response(201, HookOut)
@blueprint.alt_response(409, "CONFLICT")
def add_a_hook(body: Mapping[str, Any], *, site: Site) -> Hook:
    """Add a hook

    From now on each of these events is sent there, in the same transaction promised as it happens: `{"type", "site_id",
    "at", "visitor", "conversation", "part"}`, signed, tried again and logged as every webhook (see `webhooks`). With
    the format slack it is `{"text"}`, with a link to the console. Events may come in another order than they happened
    in: `part.number` tells. The address is called only where it is public, unless `CHIMEIN_ALLOW_PRIVATE` says so.
    """
    address, now = _address(body["url"]), runtime().clock()
    hook = Hook(
        id=uuid4().hex,
        site_id=site.id,
        url=str(address),
        events=tuple(dict.fromkeys(body["events"])),
        format=body["format"],
        active=body["active"],
        created_at=now,
        updated_at=now,
    )
    with runtime().db.begin() as conn:
        if len(hooks.of_site(conn, site.id)) >= MOST_HOOKS:
            raise Conflict(f"A site has at most {MOST_HOOKS} hooks.")
        hooks.add(conn, hook)
    return hook


@blueprint.route("/sites/<site>/hooks/<hook_id>", methods=["PATCH"])
@blueprint.allow("rules")
@blueprint.arguments(HookPatch, example={"active": False})
@blueprint.response(200, HookOut)
def change_a_hook(body: Mapping[str, Any], hook_id: str, *, site: Site) -> Hook:
    """Change a hook

    Another address holds also for what still waits, and for what failed and is tried again by hand.
    """
    address = _address(body["url"]) if "url" in body else None
    changes = {**body, **({"events": tuple(dict.fromkeys(body["events"]))} if "events" in body else {})}
    with runtime().db.begin() as conn:
        found = hooks.get(conn, site.id, hook_id)
        if found is None:
            raise NotFound("There is no such hook.")
        hook = replace(found, **changes, updated_at=runtime().clock())
        if address is not None:
            hook = replace(hook, url=str(address))
            webhooks.redirect(conn, site.id, hook.id, hook.url, address.target)
        hooks.save(conn, hook)
    return hook


@blueprint.route("/sites/<site>/hooks/<hook_id>", methods=["DELETE"])
@blueprint.allow("rules")
@blueprint.response(204)
def delete_a_hook(hook_id: str, *, site: Site) -> None:
    """Delete a hook

    What it was promised and did not get yet is skipped; the log stays.
    """
    with runtime().db.begin() as conn:
        if not hooks.remove(conn, site.id, hook_id):
            raise NotFound("There is no such hook.")


def _address(url: str) -> WebAddress:
    try:
        address = parse_web_address(url)
        refused = refusal(address, Allowed.of(runtime().settings.allow_private))
    except ValueError as error:
        raise Invalid("This is no address for a hook.", {"url": [str(error)]}) from None
    if refused is not None:
        raise Invalid("This is no address for a hook.", {"url": [refused]})
    return address
