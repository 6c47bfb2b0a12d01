"""How a trigger by a product is written: what became of it, and who is told."""

from typing import Any

PRODUCT_TRIGGER: dict[str, Any] = {
    "product": {
        "type": "string",
        "enum": ["price_dropped", "back_in_stock", "low_stock"],
        "description": "Told to those who looked at the product or put it into the cart, and have not bought "
        "it since; each visitor and product by itself, so that reentry counts for each product: once (the "
        "default) is once a product, every once a change. Texts have product.price_before and "
        "product.percent beside what the catalogue knows. A simulation takes the last 20 states of price and "
        "stock of each product, and tells everybody at the moment of the change.",
    },
    "percent": {"type": "number", "description": "Of price_dropped: by how much it fell at least.", "example": 10},
    "interest": {
        "description": "Who is told: viewed, carted, or a list of both.",
        "example": ["viewed", "carted"],
    },
    "rate": {"type": "integer", "description": "Of product: visitors that are told a minute.", "default": 1000},
    "learned": {
        "type": "boolean",
        "default": False,
        "description": "Of product: changes count too of which only events told. Anybody may report events.",
    },
    "most": {"type": "integer", "description": "Of low_stock: so many pieces are left at most.", "example": 3},
}
