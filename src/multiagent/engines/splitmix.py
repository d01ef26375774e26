"""A small generator of its own for workflow code: the standard one may change between Python versions.

SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
"""

import hashlib
from typing import Final

_MASK: Final = (1 << 64) - 1
_GAMMA: Final = 0x9E3779B97F4A7C15


class SplitMix:
    """A stream of 64-bit numbers that depends on nothing but its seed text."""

    __slots__ = ("_state",)

    def __init__(self, seed: str) -> None:
        self._state = int.from_bytes(hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()[:8], "big")

    def bits(self) -> int:
        """Return the next 64 bits."""
        self._state = state = (self._state + _GAMMA) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        return state ^ (state >> 31)

    def unit(self) -> float:
        """Return the next number in [0, 1), a multiple of 2**-53."""
        return (self.bits() >> 11) * 2.0**-53
