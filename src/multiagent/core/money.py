"""Money is an integer of 10⁻¹² US dollars ("pico"); decimals exist only at doors and displays."""

from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Final

from multiagent.core.errors import InvalidInput

PICO: Final = 10**12
"""Pico-dollars in a dollar."""

LARGEST: Final = 2**63 - 1
"""What a BIGINT column holds; about nine million dollars."""


def usd(text: str | int | Decimal) -> int:
    """Parse dollars ("0.10") into pico-dollars, rounding up below the last pico.

    Raises InvalidInput where the text is no amount, is negative, or is over ``LARGEST``.
    """
    try:
        amount = Decimal(text) if _is_plain(text) else Decimal("NaN")
    except InvalidOperation:
        amount = Decimal("NaN")
    if amount.is_nan():
        raise InvalidInput(f"{text!r} is not an amount in US dollars; write it like 0.25")
    if not amount.is_finite() or amount < 0:
        raise InvalidInput(f"an amount must be zero or more dollars, not {text}")
    pico = int((amount * PICO).to_integral_value(ROUND_CEILING))
    if pico > LARGEST:
        raise InvalidInput(f"{text} dollars is more than can be booked")
    return pico


def _is_plain(text: str | int | Decimal) -> bool:
    return not isinstance(text, str) or (text.isascii() and "_" not in text)


def show_usd(pico: int, *, places: int = 6) -> str:
    """Return pico-dollars as dollars with a sign, at least two and at most ``places`` decimals ("$0.0125")."""
    amount = (Decimal(pico) / PICO).quantize(Decimal(1).scaleb(-places))
    whole, _, fraction = f"{abs(amount):f}".partition(".")
    return f"{'-' if amount < 0 else ''}${whole}.{fraction.rstrip('0').ljust(2, '0')}"
