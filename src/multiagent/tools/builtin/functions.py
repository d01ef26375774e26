"""The calculator's functions on exact fractions, each bounded, and how a number is written. Pure."""

import math
from collections.abc import Callable, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from typing import Final

from multiagent.core.errors import ToolArguments

MOST_BITS: Final = 4096
"""No number has more bits above or below its fraction bar (about 1,200 digits)."""
_DIGITS: Final = 40
_CONTEXT: Final = Context(prec=_DIGITS)
_SHOWN: Final = 15

CONSTANTS: Final = {
    "pi": Fraction("3.1415926535897932384626433832795028841972"),
    "e": Fraction("2.7182818284590452353602874713526624977572"),
}


def bounded(value: Fraction) -> Fraction:
    """Return the value, or raise ToolArguments where it is too large to go on with."""
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MOST_BITS:
        raise ToolArguments("a number in the calculation is too large (over 1,200 digits)")
    return value


def power(base: Fraction, exponent: Fraction) -> Fraction:
    """Return base ** exponent; the size of the result is estimated before it is computed."""
    if exponent.denominator == 1:
        times = exponent.numerator
        if base == 0 and times < 0:
            raise ToolArguments("division by zero (zero to a negative power)")
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if base not in {0, 1, -1} and (bits - 1) * abs(times) > MOST_BITS:
            raise ToolArguments("the power is too large (over 1,200 digits)")
        return Fraction(base**times) if base not in {1, -1} else Fraction(1 if base == 1 or times % 2 == 0 else -1)
    if exponent == Fraction(1, 2):
        return _sqrt([base])
    if base < 0:
        raise ToolArguments("a negative number has no real power with a fractional exponent")
    if base == 0:
        if exponent < 0:
            raise ToolArguments("division by zero (zero to a negative power)")
        return Fraction(0)
    return _exp([_ln(base) * exponent])


def _decimal(value: Fraction) -> Decimal:
    return _CONTEXT.divide(Decimal(value.numerator), Decimal(value.denominator))


def _sqrt(values: Sequence[Fraction]) -> Fraction:
    (value,) = values
    if value < 0:
        raise ToolArguments("a negative number has no real square root")
    above, below = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if above * above == value.numerator and below * below == value.denominator:
        return Fraction(above, below)
    return Fraction(_CONTEXT.sqrt(_decimal(value)))


def _ln(value: Fraction) -> Fraction:
    if value <= 0:
        raise ToolArguments("only positive numbers have a logarithm")
    return Fraction(_CONTEXT.ln(_decimal(value)))


def _log(values: Sequence[Fraction]) -> Fraction:
    """Natural logarithm of one value, or of the first to the base of the second."""
    if len(values) == 1:
        return _ln(values[0])
    value, base = values
    if base == 1:
        raise ToolArguments("there is no logarithm to base 1")
    found = _ln(value) / _ln(base)
    near = Fraction(round(found))
    whole = abs(near) <= MOST_BITS and abs(found - near) < Fraction(1, 10**30) and power(base, near) == value
    return near if whole else found


def _exp(values: Sequence[Fraction]) -> Fraction:
    (value,) = values
    if abs(value) > 2000:
        raise ToolArguments("the exponential is too large or too small")
    return Fraction(_CONTEXT.exp(_decimal(value)))


def _round(values: Sequence[Fraction]) -> Fraction:
    """To the nearest, halves to the even neighbour, at the number of decimals of the second value."""
    digits = values[1] if len(values) > 1 else Fraction(0)
    if digits.denominator != 1 or abs(digits) > 100:
        raise ToolArguments("round takes a whole number of decimals between -100 and 100")
    return Fraction(round(values[0], digits.numerator))


def _median(values: Sequence[Fraction]) -> Fraction:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _mean(values: Sequence[Fraction]) -> Fraction:
    return sum(values, Fraction(0)) / len(values)


Function = Callable[[Sequence[Fraction]], Fraction]


def _taking(least: int, most: int | None, function: Function) -> Function:
    def checked(values: Sequence[Fraction]) -> Fraction:
        if len(values) < least or (most is not None and len(values) > most):
            wanted = str(least) if least == most else f"{least} to {most}" if most else f"at least {least}"
            raise ToolArguments(f"a function got {len(values)} values where it takes {wanted}")
        return function(values)

    return checked


FUNCTIONS: Final = {
    "abs": _taking(1, 1, lambda values: abs(values[0])),
    "avg": _taking(1, None, _mean),
    "ceil": _taking(1, 1, lambda values: Fraction(math.ceil(values[0]))),
    "exp": _taking(1, 1, _exp),
    "floor": _taking(1, 1, lambda values: Fraction(math.floor(values[0]))),
    "ln": _taking(1, 1, lambda values: _ln(values[0])),
    "log": _taking(1, 2, _log),
    "log10": _taking(1, 1, lambda values: _log([values[0], Fraction(10)])),
    "log2": _taking(1, 1, lambda values: _log([values[0], Fraction(2)])),
    "max": _taking(1, None, max),
    "mean": _taking(1, None, _mean),
    "median": _taking(1, None, _median),
    "min": _taking(1, None, min),
    "percent": _taking(2, 2, lambda values: values[0] / 100 * values[1]),
    "pow": _taking(2, 2, lambda values: power(values[0], values[1])),
    "round": _taking(1, 2, _round),
    "sqrt": _taking(1, 1, _sqrt),
    "sum": _taking(1, None, lambda values: sum(values, Fraction(0))),
}
"""By name; ``percent(p, x)`` is p per cent of x."""


def write(value: Fraction) -> str:
    """Return the number in decimals: all of them where they end within 30, else 15 significant digits."""
    if value.denominator == 1:
        return str(value.numerator)
    twos = (value.denominator & -value.denominator).bit_length() - 1
    fives, rest = 0, value.denominator >> twos
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    places = max(twos, fives)
    if rest == 1 and places <= 30:
        digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
        return ("-" if value < 0 else "") + digits[:-places] + "." + digits[-places:]
    rounded = Context(prec=_SHOWN).divide(Decimal(value.numerator), Decimal(value.denominator))
    text = f"{rounded:f}" if -7 <= rounded.adjusted() < 21 else str(rounded)
    return text.rstrip("0").rstrip(".") if "." in text and "E" not in text else text
