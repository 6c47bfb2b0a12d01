"""What the browser SDK reports: calls, page views, searches, clicks, form fields, and the data layer."""

import re
from typing import Any

import pytest

from tests.e2e.sdk_fixtures import Visitor, loaded, sdk_browser, sdk_bundles, site, visitor, visitor_options
from tests.e2e.sdk_site import CAPTURE, KEY, Site, wait_until

__all__ = ["sdk_browser", "sdk_bundles", "site", "visitor", "visitor_options"]
pytestmark = pytest.mark.browser

SIGNAL = "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {value: true})"
DO_NOT_TRACK = "Object.defineProperty(Navigator.prototype, 'doNotTrack', {value: '1'})"


def test_a_page_view_is_a_segment_page_call_with_the_circumstances(site: Site, visitor: Visitor) -> None:
    site.page("/a")
    visitor.open(site.origin + "/a?utm_source=mail&utm_campaign=spring&utm_medium=cpc&x=1")
    view = wait_until(lambda: site.of("page"))[0]

    assert site.batches[0]["writeKey"] == KEY
    assert re.fullmatch("[0-9a-f]{32}", view["messageId"])
    assert re.fullmatch("[0-9a-f]{32}", view["anonymousId"])
    assert "userId" not in view
    assert view["properties"]["path"] == "/a"
    assert view["properties"]["url"].endswith("utm_campaign=spring&utm_medium=cpc&x=1")
    assert view["properties"]["title"] == "Shop /a"
    context = view["context"]
    assert context["page"] == view["properties"]
    assert context["campaign"] == {"source": "mail", "name": "spring", "medium": "cpc"}
    assert context["library"]["name"] == "chimein.js"
    assert set(context["screen"]) == {"width", "height"}
    assert context["locale"]
    assert context["timezone"]
    assert "Chrome" in context["userAgent"]


def test_calls_made_before_the_script_is_there_are_kept_with_their_time(site: Site, visitor: Visitor) -> None:
    calls = """<script>
      const {track} = chimein; window.early = Date.now();
      chimein.identify('u1', {plan: 'gold'}); track('Early', {n: 1}); chimein.group('g1', {name: 'G'});
      chimein.alias('u2', 'old'); setTimeout(() => track('Late'), 500);
    </script>"""
    page = visitor.open(site.page("/early", head=calls))
    wait_until(lambda: site.tracked("Late") and site.of("alias"))
    kinds = [event["type"] for event in site.events]
    assert kinds[:4] == ["identify", "track", "group", "alias"]
    identify, track, group, alias = site.events[:4]
    assert identify["userId"] == "u1"
    assert identify["traits"] == {"plan": "gold"}
    assert (track["event"], track["properties"], track["userId"]) == ("Early", {"n": 1}, "u1")
    assert (group["groupId"], group["traits"]) == ("g1", {"name": "G"})
    assert (alias["previousId"], alias["userId"]) == ("old", "u2")
    at = page.evaluate("(time) => Date.parse(time) - window.early", track["timestamp"])
    assert 0 <= at < 100, "the time of the call, not of the script's arrival"


def test_the_pages_own_page_call_is_not_counted_twice(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/own", head="<script>chimein.page('Shop', 'Own', {color: 'red'})</script>"))
    page.evaluate("chimein.track('End')")
    wait_until(lambda: site.tracked("End"))
    (view,) = site.of("page")
    assert (view["category"], view["name"], view["properties"]["color"]) == ("Shop", "Own", "red")


def test_moves_within_a_single_page_application_are_page_views(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/spa"))
    wait_until(lambda: site.of("page"))
    page.evaluate(
        """() => { history.pushState({}, '', '/spa/product?id=1'); document.title = 'Product';
                   history.replaceState({}, '', '/spa/product?id=1#reviews'); history.replaceState({}, '', '#top'); }"""
    )
    wait_until(lambda: len(site.of("page")) == 2)
    page.evaluate("history.pushState({}, '', '/spa/product?id=2')")
    wait_until(lambda: len(site.of("page")) == 3)
    page.go_back()
    wait_until(lambda: len(site.of("page")) == 4)
    views = [event["properties"] for event in site.of("page")]
    assert [view["path"] + view["search"] for view in views] == [
        "/spa",
        "/spa/product?id=1",
        "/spa/product?id=2",
        "/spa/product?id=1",
    ]
    assert views[1]["title"] == "Product"
    assert views[1]["referrer"] == site.origin + "/spa"


def test_a_search_in_the_address_is_reported_once(site: Site, visitor: Visitor) -> None:
    pushes = "<script>window.dataLayer = [{event: 'search', search_term: 'green tea'}]</script>"
    site.page("/find", head=pushes)
    page = visitor.open(site.origin + "/find?q=%20green%20tea%20&page=1")
    page.evaluate("history.pushState({}, '', '/find?query=mug')")
    wait_until(lambda: len(site.tracked("Products Searched")) == 2)
    page.evaluate("history.pushState({}, '', '/find?q=')")
    page.evaluate("chimein.track('End')")
    wait_until(lambda: site.tracked("End"))
    assert site.tracked("Products Searched") == [{"query": "green tea"}, {"query": "mug"}]


def test_clicks_on_marked_elements_carry_their_attributes(site: Site, visitor: Visitor) -> None:
    body = """<button data-chimein-event="Size Chosen" data-chimein-product-id="007" data-chimein-price="11.99"
                data-chimein-size="L"><b>L</b></button>
              <div data-chimein-ignore><button data-chimein-event="Secret">x</button></div><i>plain</i>"""
    page = visitor.open(site.page("/clicks", body))
    wait_until(lambda: site.of("page"))
    page.click("i")
    page.click("text=x")
    page.click("b")
    wait_until(lambda: site.tracked("Size Chosen"))
    assert site.tracked("Size Chosen") == [{"product_id": "007", "price": 11.99, "size": "L"}]
    assert site.tracked("Secret") == []


FORM = """<form id=contact>
  <input name=email type=email><input name="billing[first-name]"><textarea name=message></textarea>
  <input name=phone type=tel><input id=name name=cc-name autocomplete=cc-name>
  <input name=tel type=password><input name=nickname><input name=first_name autocomplete="section-a one-time-code">
  <input type=hidden name=name value=x><div data-chimein-ignore><input name=name id=ignored></div>
</form>"""


def test_listed_form_fields_are_reported_when_filled_in_and_before_they_are_sent(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/form", FORM))
    page.fill("[name=email]", " ann@example.org ")
    page.fill("[name='billing[first-name]']", "Ann")
    page.fill("[name=message]", "Do you ship to Idaho?")
    page.fill("[name=phone]", "+49 30 123456")
    page.keyboard.press("Tab")
    wait_until(lambda: len(site.tracked("Form Field Filled")) == 4)
    common = {"form": "contact", "page": "/form"}
    assert site.tracked("Form Field Filled") == [
        {"field": "email", "value": "ann@example.org", **common},
        {"field": "first_name", "value": "Ann", **common},
        {"field": "message", "value": "Do you ship to Idaho?", **common},
        {"field": "phone", "value": "+49 30 123456", **common},
    ]


def test_secrets_never_leave_the_form(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/form", FORM))
    page.fill("#name", "ANN SMITH")
    page.fill("[name=tel]", "hunter2")
    page.fill("[name=nickname]", "annie")
    page.fill("[name=first_name]", "123456")
    page.fill("#ignored", "ignored")
    page.fill("[name=phone]", "4111 1111-1111 1111")
    page.fill("[name=message]", "My card: 378282246310005 1234, thanks")
    page.fill("[name='billing[first-name]']", "6011000990139424")
    page.keyboard.press("Tab")
    page.evaluate("document.querySelector('[type=hidden]').dispatchEvent(new Event('change', {bubbles: true}))")
    page.fill("[name=email]", "ann@example.org")
    page.keyboard.press("Tab")
    wait_until(lambda: site.tracked("Form Field Filled"))
    assert [field["field"] for field in site.tracked("Form Field Filled")] == ["email"]


def test_what_only_looks_like_a_card_number_is_reported(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/form", FORM))
    page.fill("[name=message]", "Order 4111 1111 1111 1112 is late")
    page.keyboard.press("Tab")
    wait_until(lambda: site.tracked("Form Field Filled"))


ITEM = {
    "item_id": "SKU1",
    "item_name": "Kettle",
    "item_brand": "Robin",
    "item_category": "Kettles",
    "item_variant": "blue",
    "price": "11.99",
    "quantity": 2,
    "index": 3,
}
PRODUCT = {
    "product_id": "SKU1",
    "name": "Kettle",
    "brand": "Robin",
    "category": "Kettles",
    "variant": "blue",
    "price": 11.99,
    "quantity": 2,
    "position": 3,
}


def ga4(event: str, **data: Any) -> dict[str, Any]:
    return {"event": event, "ecommerce": {"currency": "EUR", "items": [ITEM], **data}}


def test_the_data_layer_speaks_segment(site: Site, visitor: Visitor) -> None:
    early = """<script>
      window.dataLayer = window.dataLayer || []; function gtag() { dataLayer.push(arguments) }
      gtag('js', new Date()); gtag('event', 'view_item', {currency: 'EUR', value: '11.99', items: [ITEM]});
    </script>""".replace("ITEM", str(ITEM))
    page = visitor.open(site.page("/layer", head=early))
    for entry in (
        {"ecommerce": None},
        ga4("add_to_cart", value=23.98),
        ga4("remove_from_cart"),
        ga4("view_cart"),
        ga4("view_item_list", item_list_id="l1", item_list_name="Teas"),
        ga4("select_item"),
        ga4("begin_checkout", coupon="SPRING"),
        ga4("add_payment_info", payment_type="card"),
        ga4("purchase", transaction_id="T1", value="23.98", tax="4", shipping=5),
        ga4("purchase", transaction_id="T1", value="23.98"),
        ga4("refund", transaction_id="T1"),
        ga4("add_to_wishlist"),
        {"event": "search", "search_term": "mug"},
        {"event": "scroll"},
        {"event": "add_to_cart", "ecommerce": {"items": "nonsense", "value": {}}},
        {"event": "add_to_cart", "ecommerce": {"items": [None]}},
        None,
        7,
    ):
        page.evaluate("(entry) => dataLayer.push(entry)", entry)
    page.evaluate("chimein.track('End')")
    wait_until(lambda: site.tracked("End"))
    layer = {event["event"]: event["properties"] for event in site.of("track")}
    assert layer["Product Viewed"] == {**PRODUCT, "currency": "EUR", "value": 11.99}
    assert site.tracked("Product Added")[0] == {**PRODUCT, "currency": "EUR", "value": 23.98}
    assert len(site.tracked("Product Added")) == 1
    assert layer["Product Removed"] == {**PRODUCT, "currency": "EUR"}
    assert layer["Product Clicked"]["product_id"] == "SKU1"
    assert layer["Product Added to Wishlist"]["product_id"] == "SKU1"
    assert layer["Cart Viewed"] == {"currency": "EUR", "products": [PRODUCT]}
    assert layer["Product List Viewed"]["list_id"] == "l1"
    assert layer["Checkout Started"]["coupon"] == "SPRING"
    assert layer["Payment Info Entered"]["payment_method"] == "card"
    (order,) = site.tracked("Order Completed")
    assert order == {
        "order_id": "T1",
        "total": 23.98,
        "revenue": 23.98,
        "value": 23.98,
        "tax": 4,
        "shipping": 5,
        "currency": "EUR",
        "products": [PRODUCT],
    }
    assert layer["Order Refunded"]["order_id"] == "T1"
    assert layer["Products Searched"] == {"query": "mug"}
    assert page.evaluate("dataLayer.length") == 20, "the page's own data layer is as it was"


def test_two_items_in_one_push_are_two_events_and_a_reload_is_no_second_order(site: Site, visitor: Visitor) -> None:
    entry = ga4("purchase", transaction_id="T9")
    page = visitor.open(site.page("/thanks", head=f"<script>window.dataLayer = [{entry}]</script>"))
    two = {"event": "add_to_cart", "ecommerce": {"items": [ITEM, {"item_id": 8}]}}
    page.evaluate("(entry) => dataLayer.push(entry)", two)
    wait_until(lambda: len(site.tracked("Product Added")) == 2)
    assert [added["product_id"] for added in site.tracked("Product Added")] == ["SKU1", "8"]
    page.reload()
    loaded(page)
    page.evaluate("chimein.track('End')")
    wait_until(lambda: site.tracked("End"))
    assert len(site.tracked("Order Completed")) == 1


def test_what_the_site_does_not_want_is_not_captured(site: Site, visitor: Visitor) -> None:
    site.config["capture"] = {"page_views": False, "forms": [], "search_params": []}
    page = visitor.open(site.page("/form", FORM + "<b data-chimein-event=X>x</b>"))
    page.click("b")
    page.fill("[name=email]", "ann@example.org")
    page.keyboard.press("Tab")
    page.evaluate("chimein.track('End')")
    wait_until(lambda: site.tracked("End"))
    assert [event.get("event") for event in site.events] == ["End"]


def test_an_unknown_key_captures_nothing_and_says_so_once(site: Site, visitor: Visitor) -> None:
    site.config_status = 401
    page = visitor.context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "warning" else None)
    page.goto(site.page("/unknown"))
    wait_until(lambda: site.paths["/v1/config"])
    page.wait_for_timeout(300)
    assert said == [f"chimein: unknown write key {KEY}"]
    assert site.events == []


@pytest.mark.parametrize("choice", ["refused", "gpc", "dnt"])
def test_without_consent_nothing_is_captured_or_kept(site: Site, visitor: Visitor, choice: str) -> None:
    site.config["policy"]["honour_dnt"] = choice == "dnt"
    head = "<script>if (!location.hash) chimein.consent({analytics: false})</script>"
    if choice != "refused":
        visitor.context.add_init_script(SIGNAL if choice == "gpc" else DO_NOT_TRACK)
        head = ""
    page = visitor.open(site.page("/shop", FORM, head=head))
    wait_until(lambda: site.paths["/v1/config"])
    page.fill("[name=email]", "ann@example.org")
    page.evaluate("chimein.track('Nothing'); chimein.identify('u1')")
    page.wait_for_timeout(300)
    assert site.events == []
    assert site.live_calls == []
    assert page.evaluate("document.cookie") in ("", "chimein_id=")
    assert not [key for key in page.evaluate("Object.keys(localStorage)") if key.endswith(":id") or ":q:" in key]

    page.evaluate("chimein.consent({analytics: true})")
    wait_until(lambda: site.of("page"))
    wait_until(lambda: site.live_calls)
    assert page.evaluate("document.cookie").startswith("chimein_id=")


def test_consent_withdrawn_later_ends_everything(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/shop"))
    first = wait_until(lambda: site.of("page"))[0]["anonymousId"]
    wait_until(lambda: site.streams)
    page.evaluate("chimein.consent({analytics: false, text: 'No.'}); chimein.track('Nothing')")
    wait_until(lambda: not site.streams)
    page.reload()
    loaded(page)
    page.evaluate("chimein.consent({analytics: false})")  # as a page that tells at each load
    page.wait_for_timeout(300)
    [_, refusal] = site.events
    assert refusal.keys() == {"type", "messageId", "timestamp", "anonymousId", "event", "context"}
    assert (refusal["type"], refusal["event"], refusal["anonymousId"]) == ("track", "Consent Updated", first)
    assert refusal["context"] == {"consent": {"analytics": False, "text": "No."}}, "the refusal and nothing else"
    page.evaluate("chimein.consent({analytics: true})")
    wait_until(lambda: len(site.of("page")) == 2)
    assert site.of("page")[1]["anonymousId"] != first


def test_a_page_that_tells_of_consent_at_each_load_reports_each_view_once(site: Site, visitor: Visitor) -> None:
    agree = "<script>chimein.consent({analytics: true, marketing: true, text: 'Yes.'})</script>"
    page = visitor.open(site.page("/shop", head=agree))
    wait_until(lambda: site.of("page"))
    page.evaluate("chimein.consent({analytics: true, marketing: true, text: 'Yes.'})")
    page.reload()
    loaded(page)
    wait_until(lambda: len(site.of("page")) == 2)
    page.wait_for_timeout(300)
    assert len(site.of("page")) == 2
    [told] = site.of("track")
    answer = {"analytics": True, "marketing": True, "text": "Yes."}
    assert (told["event"], told["context"]) == ("Consent Updated", {"consent": answer})


def test_a_page_under_a_privacy_signal_that_tells_of_consent_at_each_load_is_reported(
    site: Site, visitor: Visitor
) -> None:
    visitor.context.add_init_script(SIGNAL)
    page = visitor.open(site.page("/shop", head="<script>chimein.consent({analytics: true})</script>"))
    wait_until(lambda: len(site.of("page")) == 1)
    page.reload()
    wait_until(lambda: len(site.of("page")) == 2)
    page.wait_for_timeout(300)
    assert len(site.of("page")) == 2


def test_an_answer_about_marketing_says_nothing_of_analytics_and_is_told_at_once(site: Site, visitor: Visitor) -> None:
    site.config["capture"] = {**CAPTURE, "page_views": False}
    page = visitor.open(site.page("/shop"))
    page.evaluate("chimein.consent({analytics: true, marketing: true, text: 'Yes.'})")
    page.evaluate("chimein.consent({marketing: false})")
    wait_until(lambda: len(site.of("track")) == 2)
    assert [each["context"]["consent"] for each in site.of("track")] == [
        {"analytics": True, "marketing": True, "text": "Yes."},
        {"analytics": True, "marketing": False},
    ]
    page.evaluate("chimein.consent({analytics: false})")
    wait_until(lambda: len(site.of("track")) == 3)
    page.evaluate("chimein.consent({marketing: true}); chimein.track('Nothing')")
    page.wait_for_timeout(300)
    assert len(site.events) == 3, "who refused to be observed has not agreed by that"
    assert page.evaluate("document.cookie") in ("", "chimein_id=")


def test_who_is_known_and_sends_a_privacy_signal_since_can_still_refuse(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/shop"))
    page.evaluate("chimein.identify('u1')")
    wait_until(lambda: site.of("identify"))
    visitor.context.add_init_script(SIGNAL)
    page.goto(site.page("/more"))
    loaded(page)
    page.evaluate("chimein.track('Nothing'); chimein.consent({marketing: false})")
    wait_until(lambda: site.of("track"))
    page.evaluate("chimein.consent({analytics: false})")
    page.wait_for_timeout(300)
    [refusal] = site.of("track")
    assert (refusal["event"], refusal["userId"]) == ("Consent Updated", "u1")
    assert refusal["context"] == {"consent": {"marketing": False}}
    assert page.evaluate("document.cookie") in ("", "chimein_id=")
    assert len(site.of("page")) == 1


def test_a_refusal_is_told_even_if_the_network_is_away_just_then(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/shop"))
    wait_until(lambda: site.of("page"))
    page.evaluate("chimein.identify('u1')")
    wait_until(lambda: site.of("identify"))
    visitor.context.set_offline(True)
    page.evaluate("chimein.track('Unsent'); chimein.consent({analytics: false})")
    page.wait_for_timeout(300)
    assert page.evaluate("document.cookie") in ("", "chimein_id=")
    visitor.context.set_offline(False)
    wait_until(lambda: site.of("track"))
    [refusal] = site.of("track")
    assert (refusal["event"], refusal["userId"]) == ("Consent Updated", "u1"), "what was not sent before never is"
    wait_until(lambda: page.evaluate("!Object.keys(localStorage).some((key) => key.includes(':q:'))"))


def test_whom_only_the_backend_knows_by_its_cookie_can_refuse_too(site: Site, visitor: Visitor) -> None:
    known = "0123456789abcdef0123456789abcdef"
    visitor.context.add_cookies([{"name": "chimein_id", "value": known, "url": site.origin}])
    page = visitor.open(site.page("/shop", head="<script>chimein.consent({analytics: false})</script>"))
    wait_until(lambda: site.events)
    assert [(each.get("event"), each["anonymousId"]) for each in site.events] == [("Consent Updated", known)]
    assert page.evaluate("document.cookie") in ("", "chimein_id=")


@pytest.mark.parametrize("signal", [SIGNAL, DO_NOT_TRACK])
def test_a_site_may_choose_not_to_follow_the_signal(site: Site, visitor: Visitor, signal: str) -> None:
    site.config["policy"].update(honour_gpc=False, honour_dnt=False)
    visitor.context.add_init_script(signal)
    visitor.open(site.page("/shop", head="<script>chimein.track('Early')</script>"))
    wait_until(lambda: site.tracked("Early") and site.of("page"))
