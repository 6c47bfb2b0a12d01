"""The demo shop at /demo/: a small shop with the snippet in it, and the three rules that speak in it."""

from backend.web.demo.rules import ready_rules
from backend.web.demo.shop import blueprint

__all__ = ["blueprint", "ready_rules"]
