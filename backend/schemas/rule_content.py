"""How the content of a message is described in the documentation: Liquid sources by name."""

from typing import Any

from backend.domain.answer import MOST_OPTIONS
from backend.domain.template import CONTENT_FIELDS

_ANSWERS: dict[str, Any] = {
    "type": "object",
    "description": (
        "On the site, buttons under the message; a press sets the trait, is reported as Message Answered and counts "
        f"as a reply. At most {MOST_OPTIONS}; an option is a text, or text and value. Mails leave them out."
    ),
    "properties": {
        "trait": {"type": "string"},
        "options": {
            "type": "array",
            "items": {"type": "object", "properties": {"text": {"type": "string"}, "value": {}}},
        },
    },
    "example": {"trait": "why_not_bought", "options": ["Too dear", {"text": "Shipping", "value": "shipping"}]},
}
CONTENT: dict[str, Any] = {
    "type": "object",
    "description": (
        "Liquid sources. A mail needs subject and body, a message on the site title or body. `product` is the "
        "trigger's, with what the catalogue knows of it when it is sent; product.similar and product.bought_together "
        "are lists of others (name, price, url, image_url, …), which have no value where there are none."
    ),
    "properties": {
        name: (
            {"type": "object", "properties": {"text": {"type": "string"}, "url": {"type": "string"}}}
            if name == "button"
            else _ANSWERS
            if name == "answers"
            else {"type": "string"}
        )
        for name in CONTENT_FIELDS
    },
}
