"""How is an amount read? As an exact decimal, from numbers and from digits in text."""

from decimal import Decimal, InvalidOperation

LARGEST_AMOUNT = Decimal(10) ** 15
PLACES = 9
SMALLEST_AMOUNT = Decimal(1).scaleb(-PLACES)
"""Whoever reports 1E-999999 must not have it written out."""


def money(value: object) -> Decimal | None:
    """A price as it was meant: numbers, and digits in text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    if not amount.is_finite() or amount.copy_abs() >= LARGEST_AMOUNT:
        return None
    exponent = amount.as_tuple().exponent
    return amount.quantize(SMALLEST_AMOUNT) if isinstance(exponent, int) and exponent < -PLACES else amount
