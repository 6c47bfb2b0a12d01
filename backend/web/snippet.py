"""The two lines that a customer pastes into a page, with the stub of the built JavaScript SDK."""

import base64
import hashlib
from pathlib import Path

from markupsafe import Markup

STUB = Path(__file__).parents[2] / "sdk_js" / "dist" / "stub.js"


def stub() -> str:
    """The stub's JavaScript; empty while the SDK is not built."""
    try:
        return STUB.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def snippet(write_key: str, host: str = "") -> Markup:
    """The snippet for one write key, as it is pasted; without the inline stub while the SDK is not built.

    `host` is where the library comes from, such as `https://chat.shop.example`; empty: from where the page is.
    """
    source = stub()
    # Markup.format escapes the key; the stub is our own build and stands as it is, or its hash would not fit.
    inline = Markup("<script>{}</script>\n").format(Markup(source)) if source else Markup("")  # noqa: S704
    return inline + Markup('<script async src="{}/chimein.js" data-key="{}"></script>').format(host, write_key)


def stub_hash() -> str:
    """The stub as a source of a Content-Security-Policy (`'sha256-…'`); empty while the SDK is not built."""
    source = stub()
    if not source:
        return ""
    digest = hashlib.sha256(source.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
