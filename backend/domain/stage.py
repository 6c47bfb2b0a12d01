"""Where in the funnel? The furthest point of the current purchase, computed from the profile alone."""

from backend.domain.profile import Profile

TURNING = frozenset(
    {
        *("Page Viewed", "Product List Viewed", "Products Searched", "Product Viewed", "Product Added"),
        *("Product Removed", "Cart Viewed", "Checkout Started", "Order Completed"),
    }
)
"""The events after which the stage may be another."""


def stage_of(profile: Profile) -> str:
    """One of `STAGES`.

    A purchase ends with `Order Completed`; the next product viewed or added begins another. An emptied cart takes its
    stage, and the checkout's, away.
    """
    last_at = profile.last_at
    viewed, added = last_at.get("Product Viewed"), last_at.get("Product Added")
    ordered = profile.orders.last_at
    if ordered is not None:
        viewed = viewed if viewed is not None and viewed > ordered else None
        added = added if added is not None and added > ordered else None
        if viewed is None and added is None and not profile.cart.items:
            return "customer"
    checkout, emptied = last_at.get("Checkout Started"), profile.cart.emptied_at
    if checkout is not None and (ordered is None or checkout > ordered) and (emptied is None or checkout > emptied):
        return "checkout"
    if profile.cart.items:
        return "cart"
    if viewed is not None:
        return "interested"
    counts = profile.counts
    if (
        ordered is not None
        or counts.get("Page Viewed", 0) > 1
        or "Product List Viewed" in counts
        or "Products Searched" in counts
    ):
        return "browsing"
    return "new"
