"""What does a page need? The stub, the script, and for a signed-in user who it is, with the proof."""

from __future__ import annotations

import json
from html import escape
from urllib.parse import urlsplit

from chimein.signing import Id

STUB = (
    "!function(w,c){c=w.chimein=w.chimein||[];c.track||"
    '"track identify page group alias reset consent on off open close".split(" ")'
    ".forEach(function(m){c[m]=function(){c.push([m,arguments,+new Date])}})}(window)"
)
"""Queues calls, with their time, until the script is there; the same for all, so that a policy can allow its hash."""


def snippet(
    write_key: str,
    host: str,
    *,
    user_id: Id | None = None,
    user_hash: str | None = None,
    nonce: str | None = None,
) -> str:
    """The HTML for a page's head; `user_hash` is what `user_hash()` or `identity_token()` made for `user_id`."""
    pass_on = f' nonce="{escape(nonce)}"' if nonce else ""
    source = host.rstrip("/")
    below = f' data-host="{escape(source)}"' if urlsplit(source).path else ""
    parts = [
        f"<script{pass_on}>{STUB}</script>",
        f'<script async src="{escape(source)}/chimein.js" data-key="{escape(write_key)}"{below}{pass_on}></script>',
    ]
    if user_id is not None:
        proof = {"userHash": user_hash} if user_hash else {}
        arguments = f"{_script(str(user_id))},{{}},{_script(proof)}"
        parts.append(f"<script{pass_on}>chimein.identify({arguments})</script>")
    return "".join(parts)


def _script(value: object) -> str:
    """The value as a literal that cannot end the script element it stands in."""
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
