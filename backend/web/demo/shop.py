"""The demo shop's pages; what lies in a visitor's basket is known to their browser only."""

import re
from decimal import Decimal
from typing import Any

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from backend.web.demo.catalogue import Product, catalogue
from backend.web.demo.rules import ready_rules
from backend.web.snippet import snippet, stub, stub_hash

WRITE_KEY = "demo"
SHIPPING = Decimal("4.90")
FREE_SHIPPING_FROM = Decimal("60.00")

blueprint = Blueprint("demo", __name__, url_prefix="/demo", template_folder="templates", static_folder="static")


@blueprint.get("/")
def home() -> str:
    """Every shelf, one after the other."""
    shop = catalogue()
    return page("list.html", shelves=shop.categories, event=viewed_list("all", "All", shop.products))


@blueprint.get("/category/<slug>")
def category(slug: str) -> str:
    """One shelf."""
    shop = catalogue()
    shelf = shop.category(slug) or abort(404)
    return page("list.html", shelves=(shelf,), here=slug, event=viewed_list(slug, shelf.name, shop.shelf(slug)))


@blueprint.get("/product/<slug>")
def product(slug: str) -> str:
    """One product, and what goes with it."""
    found = catalogue().product(slug) or abort(404)
    event = {"name": "Product Viewed", "properties": properties(found) | {"value": float(found.price)}}
    return page("product.html", product=found, here=found.category, event=event)


@blueprint.get("/search")
def search() -> str:
    """What mentions every word of `?q=`; the search itself is reported by the SDK, which reads the query."""
    query = " ".join(request.args.get("q", "").split())[:100]
    return page("search.html", query=query, found=catalogue().search(query))


@blueprint.get("/cart")
def cart() -> str:
    """The basket; the browser fills it in."""
    return page("cart.html")


@blueprint.route("/checkout", methods=["GET", "POST"])
def checkout() -> str | BaseResponse:
    """Name and address. Nothing is kept here: the browser remembers it until the order is placed."""
    if request.method == "POST":
        return redirect(url_for("demo.payment"), 303)
    return page("checkout.html")


@blueprint.route("/checkout/payment", methods=["GET", "POST"])
def payment() -> str | BaseResponse:
    """The card; its number is neither captured nor sent: the form is handled in the page."""
    if request.method == "POST":
        return redirect(url_for("demo.thank_you"), 303)
    return page("payment.html")


@blueprint.get("/thank-you")
def thank_you() -> str:
    """The order, as the browser remembers it."""
    return page("thank_you.html")


@blueprint.route("/contact", methods=["GET", "POST"])
def contact() -> str | BaseResponse:
    """A form for questions. The shop reads nothing of it: what chimein heard is on the visitor's card."""
    if request.method == "POST":
        return redirect(url_for("demo.contact", sent=1), 303)
    return page("contact.html", sent="sent" in request.args)


@blueprint.errorhandler(404)
def not_found(_: Exception) -> tuple[str, int]:
    """A shelf or product that is not here, told in the shop's own voice."""
    return page("not_found.html"), 404


@blueprint.after_request
def keep_strict(response: Response) -> Response:
    """Shows that the snippet lives under a strict policy: no inline script but the stub, no third party."""
    if response.mimetype == "text/html":
        # The live process answers on another port of this host; 'self' would not cover it. Message images may come
        # from anywhere over https. The widget's styles are constructed sheets, which no policy forbids.
        host = re.fullmatch(r"([A-Za-z0-9.-]+)(:\d+)?", request.host)
        live = f"http://{host[1]}:* https://{host[1]}:*" if host else "http: https:"
        response.headers.setdefault(
            "Content-Security-Policy",
            f"default-src 'self'; script-src 'self' {stub_hash()}; connect-src 'self' {live}; "
            "img-src 'self' data: https:; style-src 'self'; "
            "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        )
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response


def money(amount: Decimal) -> str:
    """A price as the shop writes it: `$48.00`."""
    return f"${amount:.2f}"


def page(template: str, **values: Any) -> str:
    """One page of the shop, with what every page needs."""
    return render_template(
        f"demo/{template}",
        shop=catalogue(),
        rules=ready_rules(),
        snippet=snippet(WRITE_KEY),
        built=bool(stub()),
        host=request.host_url.rstrip("/"),
        money=money,
        properties=properties,
        shipping=SHIPPING,
        free_from=FREE_SHIPPING_FROM,
        **values,
    )


def properties(product: Product) -> dict[str, Any]:
    """A product as Segment's e-commerce events tell of it, but for quantity and cart."""
    shop = catalogue()
    shelf = shop.category(product.category)
    return {
        "product_id": product.id,
        "sku": product.id,
        "name": product.name,
        "category": shelf.name if shelf else product.category,
        "brand": product.brand,
        "price": float(product.price),
        "currency": shop.currency,
        "url": url_for("demo.product", slug=product.slug, _external=True),
        "image_url": url_for("demo.static", filename=f"products/{product.image}", _external=True),
    }


def viewed_list(list_id: str, name: str, products: tuple[Product, ...]) -> dict[str, Any]:
    """The event of a page that shows several products."""
    listed = [properties(product) | {"position": place} for place, product in enumerate(products, start=1)]
    return {"name": "Product List Viewed", "properties": {"list_id": list_id, "category": name, "products": listed}}
