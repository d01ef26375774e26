"""Tiers of models, from cheap to capable."""

from typing import Final, Literal

from multiagent.core.errors import InvalidInput

Tier = Literal["small", "medium", "large"]

TIERS: Final[tuple[Tier, ...]] = ("small", "medium", "large")
"""From cheap to capable."""


def tier(text: str) -> Tier:
    """Return the tier of that name; InvalidInput naming the known ones where there is none."""
    for known in TIERS:
        if text == known:
            return known
    raise InvalidInput(f"unknown tier {text!r}; choose one of {', '.join(TIERS)}")


def cheaper(current: Tier) -> Tier:
    """Return the next cheaper tier, or the same where there is none."""
    return TIERS[max(0, TIERS.index(current) - 1)]
