"""The verb `seed`: the demo site and its rules are made once; what the owner changes afterwards stays."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from backend.domain.rule import parse_rule
from backend.runtime import Runtime
from backend.storage.rules import create_rule
from backend.storage.sites import create_site, get_site, list_sites, new_site

NAME = "demo"
WRITE_KEY = "demo"

logger = logging.getLogger(__name__)


def seed_demo(rt: Runtime, rules: Sequence[Mapping[str, Any]], *, again: bool = False) -> bool:
    """Creates the site `demo` with these rules, active at once; False where nothing was to be done.

    It is made where there is no site at all yet: an owner who deleted it does not get it back at the next start,
    unless they ask for it (`again`).
    """
    specs = [parse_rule(dict(rule)) for rule in rules]
    now = rt.clock()
    with rt.db.begin() as conn:
        vault = rt.sites.vault
        present = get_site(conn, vault, NAME) is not None
        if present or (list_sites(conn, vault, limit=1) and not again):
            return False
        site = replace(new_site(NAME), write_key=WRITE_KEY)
        create_site(conn, vault, site, now)
        for spec in specs:
            create_rule(conn, site.id, spec, status="active", now=now)
    rt.sites.forget()
    logger.debug("the site %s is there, with %d rules", NAME, len(specs))
    return True
